import pandas as pd
import pytest

from generalthinker.answers import REASONS, verifier
from generalthinker.answers.stage import GradingError, grade_file
from generalthinker.files import read_parquet, write_parquet

QUESTIONS = {
    "Letters": [("l1", "B. y", "mcq", ["x", "y"]), ("l2", "A. x", "mcq", ["x", "y"])],
    "Numbers": [("n1", "5", "math", None), ("n2", r"2\sqrt{3}", "math", None), ("n3", "7", "math", None)],
}
RESPONSES = [
    ("Letters", "l1", r"\boxed{B}", False),
    ("Letters", "l2", "A it is", False),
    ("Numbers", "n1", r"\boxed{5}", True),
    ("Numbers", "n2", r"\boxed{\sqrt{12}}", False),
    ("Numbers", "n3", r"\boxed{8} \boxed{7", False),
]


@pytest.fixture
def files(tmp_path):
    for name, rows in QUESTIONS.items():
        frame = pd.DataFrame(rows, columns=["id", "answer", "answer_type", "options"])
        write_parquet(tmp_path / f"{name}.parquet", frame, {"benchmark": name})

    def write(responses, **metadata):
        frame = pd.DataFrame(responses, columns=["benchmark", "id", "response", "truncated"]).assign(tokens=3)
        write_parquet(tmp_path / "generations.parquet", frame, {"engine": "test", **metadata})
        return tmp_path / "generations.parquet", [tmp_path / f"{name}.parquet" for name in QUESTIONS]

    return write


def test_every_response_gets_a_verdict_in_order(files, tmp_path):
    generations, questions = files(RESPONSES)
    grade_file(generations, questions, tmp_path / "grades.parquet", workers=2)
    grades, metadata = read_parquet(tmp_path / "grades.parquet")
    assert list(grades.columns) == ["benchmark", "id", "correct", "extracted", "reason", "truncated", "tokens"]
    assert list(grades["id"]) == [response[1] for response in RESPONSES]
    assert list(grades["correct"]) == [True, False, False, True, False]
    assert list(grades["reason"]) == ["letter", "no_box", "truncated", "equal_value", "unbalanced_box"]
    assert set(grades["reason"]) <= set(REASONS)
    assert grades["extracted"].isna().tolist() == [False, True, True, False, True]
    assert metadata["engine"] == "test"
    assert metadata["grading"]["math-verify"]


def test_a_failing_grader_is_a_wrong_answer(files, tmp_path, monkeypatch):
    def broken(reference, given):
        raise MemoryError

    monkeypatch.setattr(verifier, "equal", broken)
    grade_file(*files(RESPONSES), tmp_path / "grades.parquet", workers=1)
    grades, _ = read_parquet(tmp_path / "grades.parquet")
    assert grades.loc[3, ["correct", "reason"]].tolist() == [False, "grader_error"]


def test_a_hanging_comparison_is_a_wrong_answer(files, tmp_path, monkeypatch):
    monkeypatch.setattr(verifier, "TIME_LIMIT", 0.0)
    responses = [*RESPONSES[:3], ("Numbers", "n2", r"\boxed{\sqrt{11 + 1}}", False), RESPONSES[4]]
    grade_file(*files(responses), tmp_path / "grades.parquet", workers=1)
    grades, _ = read_parquet(tmp_path / "grades.parquet")
    assert grades.loc[3, ["correct", "reason"]].tolist() == [False, "timeout"]


@pytest.mark.parametrize(
    ("responses", "message"),
    [
        ([*RESPONSES, ("Numbers", "n9", "", False)], "responses without a question: n9"),
        (RESPONSES[:-1], "questions without a response: n3"),
        ([*RESPONSES, RESPONSES[0]], "two responses: l1"),
        ([*RESPONSES, ("Other", "o1", "", False)], "'Other'"),
        (RESPONSES[:2], "questions without a response: n1, n2, n3"),
    ],
)
def test_what_does_not_belong_together_stops(files, tmp_path, responses, message):
    with pytest.raises(GradingError, match=message):
        grade_file(*files(responses), tmp_path / "grades.parquet", workers=1)


def test_a_limited_benchmark_needs_only_its_first_questions(files, tmp_path):
    limited = files(RESPONSES[:3], settings={"benchmarks": {"Letters": None, "Numbers": 1}})
    grade_file(*limited, tmp_path / "grades.parquet", workers=1)
    assert len(read_parquet(tmp_path / "grades.parquet")[0]) == 3


def test_questions_must_name_their_benchmark(files, tmp_path):
    generations, _ = files(RESPONSES)
    write_parquet(tmp_path / "anonymous.parquet", pd.DataFrame({"id": ["1"]}))
    with pytest.raises(GradingError, match="which benchmark"):
        grade_file(generations, [tmp_path / "anonymous.parquet"], tmp_path / "grades.parquet", workers=1)
