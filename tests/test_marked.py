"""Responses whose wrong step is marked: generated ones, and files of a person with their errors."""

import json
from pathlib import Path

import pytest

from generalthinker.config.load import load
from generalthinker.config.reporting import CreditSettings
from generalthinker.data import DataError, synthetic
from generalthinker.data.marked import read_marked, write_marked
from generalthinker.files import read_parquet

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "tests/fixtures/marked.jsonl"
GOOD = {"question": "1+1?", "answer": "2", "response": "1+1=3\n\\boxed{3}", "mistakes": [[4, 5]]}


@pytest.fixture
def settings(tmp_path):
    demo = load([ROOT / "config/demo.yaml"])
    runs = {"S": demo.credit.runs["S"]}
    return demo.model_copy(update={"credit": CreditSettings(runs=runs, responses=3), "results": str(tmp_path)})


def test_generated_responses_have_one_wrong_step_and_a_right_copy(settings, tmp_path):
    write_marked(settings, tmp_path / "marked.parquet")
    frame, metadata = read_parquet(tmp_path / "marked.parquet")
    assert metadata == {"origin": "synthetic"}
    assert frame.groupby("task").size().to_dict() == dict.fromkeys(synthetic.TASKS, 3)
    for _, line in frame.iterrows():
        assert synthetic.split_of(line["question"]) == "test"
        [(first, stop)] = line["mistakes"]
        assert line["response"][:first] == line["corrected"][:first]
        assert line["response"][first:stop] != line["corrected"][first:stop]
        assert line["corrected"].endswith(f"\\boxed{{{line['answer']}}}")
        assert not line["response"].endswith(f"\\boxed{{{line['answer']}}}")


def test_the_same_settings_give_the_same_bytes(settings, tmp_path):
    written = []
    for name in ("first.parquet", "second.parquet"):
        write_marked(settings, tmp_path / name)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]


def test_a_file_of_a_person_is_read_as_it_stands(settings, tmp_path):
    credit = settings.credit.model_copy(update={"marked": str(EXAMPLES)})
    write_marked(settings.model_copy(update={"credit": credit}), tmp_path / "marked.parquet")
    frame, metadata = read_parquet(tmp_path / "marked.parquet")
    assert metadata == {"origin": str(EXAMPLES)}
    wrong = [[line["response"][a:b] for a, b in line["mistakes"]] for _, line in frame.iterrows()]
    assert wrong == [["355"], ["rounded down", "12"], ["39 °C"]]
    assert list(frame["corrected"].notna()) == [True, True, False]
    assert list(frame["options"].iloc[2]) == ["zinc", "mercury", "lead", "tin"]
    assert list(frame["task"]) == ["arithmetic", "arithmetic", "facts"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mistakes": []}, "mistakes: List should have at least 1 item"),
        ({"mistakes": [[4]]}, "mistakes.0.1: Field required"),
        ({"mistakes": [[5, 4]]}, r"mistakes: \[5, 4\]: expected 0 ≤ first < stop ≤ 6"),
        ({"mistakes": [[4, 9]]}, "where the last box begins"),
        ({"mistakes": [["4", 5]]}, "mistakes.0.0: Input should be a valid integer"),
        ({"response": "1+1=3"}, "response: expected a closed"),
        ({"response": "1+1=3\n\\boxed{3"}, "response: expected a closed"),
        ({"corrected": "1+1=2"}, "corrected: expected a closed"),
        ({"corrected": GOOD["response"]}, "corrected: it is the response itself"),
        ({"corrected": "2=1+1\n\\boxed{2}"}, "expected to begin like the response up to character 4"),
        ({"answer_type": "maths"}, "answer_type = 'maths': expected one of mcq, math"),
        ({"corect": "1+1=2"}, "corect: Extra inputs are not permitted"),
        ({"question": None}, "question: Input should be a valid string"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path, change, words):
    file = tmp_path / "mine.jsonl"
    file.write_text(f"{json.dumps(GOOD)}\n\n{json.dumps(GOOD | change)}\n", encoding="utf-8")
    with pytest.raises(DataError, match=words) as error:
        read_marked(file)
    assert str(error.value).startswith(f"{file}, line 3: ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "expected a file of JSON lines in UTF-8"),
        (b"\xff\n", "expected a file of JSON lines in UTF-8"),
        (b"\n", "expected at least one response, found none"),
        (b"[1, 2\n", "line 1: line: Invalid JSON"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, content, words):
    file = tmp_path / "mine.jsonl"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=words) as error:
        read_marked(file)
    assert str(error.value).startswith(str(file))


def test_settings_without_the_section_are_an_error(settings, tmp_path):
    with pytest.raises(DataError, match="the section `credit` is missing"):
        write_marked(settings.model_copy(update={"credit": None}), tmp_path / "marked.parquet")
