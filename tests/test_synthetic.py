"""The embedded default's questions: disjoint splits, right solutions, one wrong step, wrong guesses, clear errors."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generalthinker.data import synthetic
from generalthinker.data.synthetic import LEVELS, OPTION_LETTERS, SPLITS, TASKS, rows, split_of

TASK_NAMES = sorted(TASKS)


def boxed(text: str) -> str:
    assert text.count("\\boxed{") == 1
    assert text.endswith("}")
    return text.partition("\\boxed{")[2][:-1]


@pytest.fixture(scope="module", params=TASK_NAMES)
def sample(request) -> list[dict]:
    return rows(request.param, "test", 120, seed=3)


def test_two_groups_of_four_tasks_each():
    groups = [task.group for task in TASKS.values()]
    assert groups.count("arithmetic") == groups.count("general") == 4
    assert {task.answer_type for task in TASKS.values() if task.group == "general"} == {"mcq"}


def test_solution_ends_in_the_answer_and_the_guess_in_a_wrong_one(sample):
    for row in sample:
        assert boxed(row["solution"]) == row["answer"]
        assert boxed(row["guess"]) != row["answer"]
        assert row["guess"].startswith("I guess\n")
        reasoning = row["solution"].partition("\\boxed{")[0]
        assert len(reasoning) > 0 < len(row["guess"].partition("\\boxed{")[0])


def test_options_are_paragraphs_and_the_answer_is_one_of_them(sample):
    for row in sample:
        if row["answer_type"] == "math":
            assert row["options"] is None
            assert row["answer_letter"] is None
            assert row["answer"].isdecimal()
            continue
        stem, *paragraphs = row["question"].split("\n\n")
        assert stem
        assert len(set(row["options"])) == 4
        labelled = [f"{letter}. {text}" for letter, text in zip(OPTION_LETTERS, row["options"], strict=True)]
        assert paragraphs == labelled
        assert row["answer"] == labelled[OPTION_LETTERS.index(row["answer_letter"])]
        assert {boxed(row["guess"]), boxed(row["slip"])} <= {*labelled}


def answer_of(row: dict) -> str:
    """Answer a question independently of how it was made, from its text alone."""
    stem, *_ = row["question"].split("\n\n")
    match row["domain"]:
        case "sum" | "difference":
            return str(eval(stem.removeprefix("What is ").removesuffix("?")))
        case "sequence":
            terms = [int(term) for term in stem.removeprefix("Which number follows ").removesuffix("?").split(",")]
            assert len({later - earlier for earlier, later in itertools.pairwise(terms)}) == 1
            return str(2 * terms[-1] - terms[-2])
        case "rank":
            place, *numbers = map(int, re.findall(r"\d+", stem))
            return str(sorted(numbers)[place - 1])
        case "largest":
            return max(row["options"], key=int)
        case "category":
            kind = stem.removeprefix("Which one is a kind of ").removesuffix("?")
            (answer,) = (word for word in row["options"] if kind_of(word) == kind)
            return answer
        case "order":
            place = int(re.search(r"place (\d)", stem)[1])
            return row_of(stem)[-place if "from the end" in stem else place - 1]
        case "calendar":
            count = int(re.search(r"\d+", stem)[0]) * (-1 if "ago" in stem else 1)
            return synthetic.MONTHS[(synthetic.MONTHS.index(stem.split(".")[0].split()[-1]) + count) % 12]
    raise AssertionError(row["domain"])


def row_of(question: str) -> list[str]:
    """Return who stands in the row of an `order` question."""
    return re.search(r"are ([\w ]+)\.", question)[1].split()


def test_answers_are_right(sample):
    for row in sample:
        assert row["answer"].split(". ")[-1] == answer_of(row)


def kind_of(word: str) -> str:
    (kind,) = (kind for kind, levels in synthetic.KINDS.items() if word in " ".join(levels).split())
    return kind


def wrong_values(row: dict, text: str) -> list[tuple[int, int]]:
    """Return the ranges of characters in which a solution is wrong, given the question and what it has said before."""
    reasoning = text.partition("\\boxed{")[0]
    found: list[tuple[re.Match, int, bool]] = []  # a match, its group with the value, and whether that is right
    for match in re.finditer(r"(\d+[+-]\d+)=(\d+)\n", reasoning):
        found.append((match, 2, eval(match[1]) == int(match[2])))
    for match in re.finditer(r"[A-D](\d+)([<>])[A-D](\d+)\n", reasoning):
        found.append((match, 2, eval(match[1] + match[2] + match[3])))
    numbers = sorted(map(int, re.findall(r"\d+", row["question"].partition(" of ")[2])))
    for match in re.finditer(r"(?m)^(\d) (\d+)\n", reasoning):
        found.append((match, 2, numbers[int(match[1]) - 1] == int(match[2])))
    for match in re.finditer(r"(?m)^\d (after \w+ |before \w+ |from the end |)([A-Z][a-z]+)\n", reasoning):
        found.append((match, 2, match[2] == answer_of(row)))
    for match in re.finditer(r"(?m)^[A-D] (\w+) (\w+ )?(yes|no)\n", reasoning):
        seen = match[1]
        if row["domain"] == "category":
            found.append((match, 2, match[2] == kind_of(match[1]) + " "))
            seen = match[2].strip()
        wanted = re.search(r"Find (\w+)\n", reasoning)[1]
        found.append((match, 3, (seen == wanted) == (match[3] == "yes")))
    assert found
    return [match.span(group) for match, group, right in found if not right]


def test_a_solution_has_no_wrong_step_and_a_slip_has_the_one_that_is_marked(sample):
    for row in sample:
        start, stop = row["mistake"]
        assert wrong_values(row, row["solution"]) == []
        ((first, last),) = wrong_values(row, row["slip"])
        assert (first, row["slip"][first:last].strip()) == (start, row["slip"][start:stop])
        assert row["slip"][:start] == row["solution"][:start]
        assert boxed(row["slip"]) != row["answer"]


def test_levels_are_equally_frequent_and_the_id_names_them(sample):
    counts = [sum(row["level"] == level for row in sample) for level in LEVELS]
    assert min(counts) > 120 / len(LEVELS) / 2
    assert all(row["id"].split("-")[:2] == [row["domain"], str(row["level"])] for row in sample)


@pytest.mark.parametrize("task", TASK_NAMES)
def test_splits_share_no_question(task):
    texts = {split: {row["question"] for row in rows(task, split, 130, seed=1)} for split in SPLITS}
    assert all(len(questions) == 130 for questions in texts.values())
    assert len(set.union(*texts.values())) == 130 * len(SPLITS)
    assert all(split_of(question) == split for split, questions in texts.items() for question in questions)


@pytest.mark.parametrize("task", TASK_NAMES)
def test_every_task_is_large_enough_for_the_demo(task):
    assert len(rows(task, "pretrain", 2000, seed=0)) == 2000
    assert len(rows(task, "train", 400, seed=0)) == 400
    assert len(rows(task, "test", 300, seed=0)) == 300


@settings(max_examples=15, deadline=None)
@given(
    subset=st.sampled_from([None, *TASK_NAMES]),
    split=st.sampled_from(sorted(SPLITS)),
    count=st.integers(0, 60),
    seed=st.integers(0, 2**32),
)
def test_rows_are_deterministic_and_distinct(subset, split, count, seed):
    drawn = rows(subset, split, count, seed)
    assert drawn == rows(subset, split, count, seed)
    assert len(drawn) == count
    assert len({row["question"] for row in drawn}) == len({row["id"] for row in drawn}) == count
    shares = [sum(row["domain"] == task for row in drawn) for task in ([subset] if subset else TASKS)]
    assert max(shares) - min(shares) <= 1


def test_a_question_is_the_same_whatever_the_seed():
    by_id = {row["id"]: row for row in rows("rank", "validation", 400, seed=1)}
    again = [row for row in rows("rank", "validation", 400, seed=2) if row["id"] in by_id]
    assert again
    for row in again:
        drawn = {"guess": None, "slip": None, "mistake": None}
        assert row | drawn == by_id[row["id"]] | drawn


def test_seeds_choose_different_questions():
    assert rows("sum", "train", 50, seed=1) != rows("sum", "train", 50, seed=2)


def test_asking_for_too_many_names_the_task_and_both_numbers():
    with pytest.raises(ValueError, match="'largest': 5000 questions of split 'validation' are needed") as caught:
        rows("largest", "validation", 5000, seed=0)
    exist = int(re.search(r"only (\d+) exist", str(caught.value))[1])
    assert len({row["question"] for row in rows("largest", "validation", exist, seed=0)}) == exist
    with pytest.raises(ValueError, match=f"{exist + 1} questions"):
        rows("largest", "validation", exist + 1, seed=0)


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'cooking'; expected one of sum, difference"):
        rows("cooking", "test", 1, seed=0)
    with pytest.raises(ValueError, match="'dev'; expected one of pretrain, train, validation, test"):
        rows("sum", "dev", 1, seed=0)
