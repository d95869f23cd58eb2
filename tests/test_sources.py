import re
from pathlib import Path

import pytest

from generalthinker.answers import grade
from generalthinker.config import load
from generalthinker.config.data import SourceSettings
from generalthinker.data import DataError, synthetic
from generalthinker.data.adapt import adapt
from generalthinker.data.choices import multiple_choice, stem_of
from generalthinker.data.fetch import Fetched, fetch
from generalthinker.data.sources import get, gpqa, names
from generalthinker.records import LETTERS

MIRROR = str(Path(__file__).parent / "fixtures/mirror")
CONFIG = Path(__file__).parent.parent / "config/config.yaml"
# adapter, dataset, subset, split, rows of the fixture
FIXTURES = [
    ("math", "nlile/hendrycks-MATH-benchmark", None, "test", 2),
    ("gsm8k", "openai/gsm8k", "main", "test", 2),
    ("minerva", "math-ai/minervamath", None, "test", 2),
    ("olympiadbench", "math-ai/olympiadbench", None, "test", 2),
    ("amc23", "math-ai/amc23", None, "test", 2),
    ("gpqa", "Idavidrein/gpqa", "gpqa_main", "train", 2),
    ("mmlu", "cais/mmlu", "all", "test", 2),
    ("mmlu_pro", "TIGER-Lab/MMLU-Pro", None, "test", 2),
    ("mmlu_redux", "edinburgh-dawg/mmlu-redux-2.0", None, "test", 2),
    ("supergpqa", "m-a-p/SuperGPQA", None, "train", 2),
    ("question_answer", "mine/riddles", None, "test", 3),
    ("crossthink_qa", "nvidia/Nemotron-CrossThink", None, "train_qa", 15),
]


def source(adapter, dataset, subset, split, rows=None):
    return SourceSettings(adapter=adapter, dataset=dataset, subset=subset, split=split, rows=rows, revision="pinned")


def read(adapter):
    fixture = next(fixture for fixture in FIXTURES if fixture[0] == adapter)
    settings = source(*fixture)
    return adapt(settings, fetch(settings, MIRROR, 1), tolerant=adapter == "crossthink_qa").questions


def test_every_source_has_a_fixture_and_the_configuration_names_only_sources():
    assert {fixture[0] for fixture in FIXTURES} | {"synthetic"} == set(names())
    settings = load([CONFIG])
    used = {s.adapter for s in (*settings.benchmarks.values(), *settings.data.sources.values())}
    assert used <= set(names())


@pytest.mark.parametrize("adapter", [fixture[0] for fixture in FIXTURES])
def test_questions_are_complete_and_their_own_answer_grades_correct(adapter):
    questions = read(adapter)
    assert len({question.id for question in questions}) == len(questions)
    for question in questions:
        verdict = grade(f"\\boxed{{{question.answer}}}", question.answer, question.answer_type, question.options)
        assert verdict.correct, (question, verdict)
        assert question.question == question.question.strip() != ""
        assert question.domain
        assert question.source == next(fixture[1] for fixture in FIXTURES if fixture[0] == adapter)
        if question.answer_type == "mcq":
            index = LETTERS.index(question.answer_letter)
            assert question.answer == f"{question.answer_letter}. {question.options[index]}"
            assert question.question.endswith(f"\n\n{LETTERS[len(question.options) - 1]}. {question.options[-1]}")
        else:
            assert (question.options, question.answer_letter) == (None, None)


def test_math_answers():
    assert [question.answer for question in read("gsm8k")] == ["36", "2500"]
    assert [question.answer for question in read("olympiadbench")] == ["2, -2", "4"]
    assert [question.answer for question in read("amc23")] == ["6", "27"]
    assert [question.answer for question in read("math")] == ["56", r"\frac{3}{8}"]


def test_options_are_paragraphs_below_the_question():
    assert read("mmlu")[0].question == "Which planet is largest?\n\nA. Mars\n\nB. Jupiter\n\nC. Venus\n\nD. Earth"
    assert stem_of(read("mmlu")[0]) == "Which planet is largest?"


def test_mmlu_pro_drops_padding_and_the_letter_follows_its_text():
    first, second = read("mmlu_pro")
    assert (first.options, first.answer) == (["oxygen", "carbon dioxide", "helium"], "B. carbon dioxide")
    assert second.answer == "C. 7"


def test_mmlu_redux_reads_all_subsets_with_the_original_label():
    assert [(q.domain, q.answer) for q in read("mmlu_redux")] == [("anatomy", "B. leg"), ("virology", "B. not a cell")]


def test_own_questions_have_options_or_none_and_answers_by_text_or_letter():
    first, second, third = read("question_answer")
    assert (first.id, first.answer, first.answer_type, first.domain) == ("row-0", "6", "math", "unnamed")
    assert (second.id, second.answer, second.domain) == ("promise", "A. a promise", "words")
    assert third.answer == "B. a towel"
    row = {"question": "?", "options": ["one", "two"], "answer": "three"}
    with pytest.raises(DataError, match="the answer is 'three'; expected one letter"):
        adapt(source("question_answer", "a/b", None, "test"), Fetched([row], "mirror"))


def test_repeated_ids_are_told_apart():
    assert [question.id for question in read("supergpqa")] == ["u1", "u1#2"]


def test_gpqa_shuffles_by_the_question_alone():
    first, second = read("gpqa")
    assert sorted(first.options) == ["W boson", "gluon", "graviton", "photon"]
    assert first.answer.endswith(". W boson")
    row = {name: name for name in gpqa.COLUMNS}
    letters = {gpqa.question(row | {"Question": f"question {k}"}, k).answer_letter for k in range(40)}
    assert letters == set("ABCD")
    assert gpqa.question(row, 0) == gpqa.question(row, 0)
    assert second.answer_letter == "ABCD"[second.options.index("4")]


def test_crossthink_finds_question_options_and_answer_where_rows_keep_them():
    questions = read("crossthink_qa")
    by_stem = {stem_of(question): question for question in questions}
    assert by_stem["Who wrote Faust?"].answer == "A. Goethe"
    assert by_stem["Which is the capital of Italy?"].answer == "B. Rome"
    assert by_stem["Which is heaviest?"].options == ["a feather", "a stone"]
    assert by_stem["Which planet is largest?"].answer == "C. Jupiter"


def test_crossthink_counts_open_ended_and_unreadable_rows():
    settings = source("crossthink_qa", "nvidia/Nemotron-CrossThink", None, "train_qa")
    adapted = adapt(settings, fetch(settings, MIRROR, 1), tolerant=True)
    assert adapted.dropped == {"open_ended": 1, "unreadable": 1}


def test_rows_that_nothing_can_be_read_from_stop_with_columns_and_example():
    settings = source("crossthink_qa", "nvidia/Nemotron-CrossThink", None, "train_qa")
    rows = [{"text": f"something else {k}"} for k in range(20)]
    with pytest.raises(DataError, match=r"(?s)20 of 20 rows.*columns: \['text'\].*something else 0"):
        adapt(settings, Fetched(rows, "hub"), tolerant=True)


def test_one_setting_names_the_columns_of_a_dataset_that_has_others():
    settings = source("crossthink_qa", "nvidia/Nemotron-CrossThink", None, "train_qa")
    rows = [
        {"text": f"Is {k} even?", "info": {"gold": {"letter": "B"}}, "alternatives": ["yes", "no"]} for k in range(9)
    ]
    with pytest.raises(DataError, match=r"(?s)columns: \['text', 'info', 'alternatives'\].*`columns: \{question: "):
        adapt(settings, Fetched(rows, "hub"), tolerant=True)
    columns = {"question": "text", "answer": "info.gold.letter", "options": "alternatives"}
    [first, *others] = adapt(
        settings.model_copy(update={"columns": columns}), Fetched(rows, "hub"), tolerant=True
    ).questions
    assert (first.options, first.answer, len(others)) == (["yes", "no"], "B. no", 8)
    wrong = settings.model_copy(update={"columns": columns | {"answer": "info.gold.text"}})
    with pytest.raises(DataError, match=r"columns: \{answer: info.gold.text\}: row 0 has no 'info.gold.text'; found"):
        adapt(wrong, Fetched(rows, "hub"), tolerant=True)


def test_a_source_without_the_setting_keeps_its_identity():
    plain = source("mmlu", "cais/mmlu", "all", "test")
    assert "columns" not in plain.model_dump()
    assert plain.model_copy(update={"columns": {"question": "q"}}).model_dump()["columns"] == {"question": "q"}


def test_missing_columns_stop_with_both_lists():
    settings = source("mmlu", "cais/mmlu", "all", "test")
    with pytest.raises(DataError, match=r"(?s)expected \['question', 'choices', 'answer'\].*found \['question'\]"):
        adapt(settings, Fetched([{"question": "?"}], "hub"))


def test_an_unreadable_benchmark_row_stops():
    settings = source("gsm8k", "openai/gsm8k", "main", "test")
    with pytest.raises(DataError, match=r"row 1 .*####"):
        adapt(settings, Fetched([{"question": "?", "answer": "#### 1"}, {"question": "?", "answer": "2"}], "hub"))


@pytest.mark.parametrize(
    ("adapter", "answer"),
    [("gsm8k", "She is asked: #### "), ("math", " "), ("minerva", None), ("amc23", None), ("olympiadbench", ["$ $"])],
)
def test_an_empty_reference_answer_stops_with_dataset_row_and_what_to_do(adapter, answer):
    column = "final_answer" if adapter == "olympiadbench" else "answer"
    row = {"question": "How many?", "problem": "How many?", column: answer}
    with pytest.raises(DataError, match=r"(?s)a/b \(split test.*row 0 .*empty.*How many\?.*`revision`"):
        adapt(source(adapter, "a/b", None, "test"), Fetched([row], "hub"))


@pytest.mark.parametrize("letter", ["", "BC", "b", "?"])
@pytest.mark.parametrize(("adapter", "column"), [("mmlu_pro", "answer"), ("supergpqa", "answer_letter")])
def test_what_is_not_one_letter_names_no_option(adapter, column, letter):
    """An empty text and "BC" are substrings of the alphabet, but they are no letters."""
    row = {"uuid": "1", "question": "Which?", "options": ["x", "y", "z"], column: letter}
    with pytest.raises(DataError, match=rf"row 0 .*the answer is '{re.escape(letter)}'; expected one letter"):
        adapt(source(adapter, "a/b", None, "test"), Fetched([row], "hub"))


def test_multiple_choice_limits():
    many = [str(number) for number in range(26)]
    made = multiple_choice(id="1", stem="Which?", options=many, correct=25, source="s", domain="d")
    assert made.answer == "Z. 25"
    for options, correct in (([*many, "26"], 0), ([], 0), (["a"], 1), (["a"], -1)):
        with pytest.raises(ValueError, match="option"):
            multiple_choice(id="1", stem="Which?", options=options, correct=correct, source="s", domain="d")


def test_synthetic_rows_become_questions_as_they_are():
    rows = synthetic.rows(None, "test", 16, 1)
    module = get("synthetic")
    questions = [module.question(row, index) for index, row in enumerate(rows)]
    assert [question.id for question in questions] == [row["id"] for row in rows]
    assert all(question.source == "synthetic" for question in questions)
    for row, question in zip(rows, questions, strict=True):
        assert grade(row["solution"], question.answer, question.answer_type, question.options).correct
        assert not grade(row["guess"], question.answer, question.answer_type, question.options).correct


def test_unknown_adapter_names_the_known_ones():
    with pytest.raises(DataError, match="gsm8k"):
        get("gsm9k")
