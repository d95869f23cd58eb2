import os
import random
import re
from functools import cache

import pytest

from generalthinker.answers import grade
from generalthinker.config.data import SourceSettings
from generalthinker.data.adapt import adapt
from generalthinker.data.fetch import MIRROR_VARIABLE, fetch, mirrored

pytestmark = pytest.mark.skipif(
    not os.environ.get(MIRROR_VARIABLE), reason=f"set {MIRROR_VARIABLE} to a folder with the benchmarks' real files"
)
# adapter, dataset, subset, rows of the test split
BENCHMARKS = [
    ("gsm8k", "openai/gsm8k", "main", 1319),
    ("math", "nlile/hendrycks-MATH-benchmark", None, 500),
    ("mmlu_pro", "TIGER-Lab/MMLU-Pro", None, 12_032),
    ("amc23", "math-ai/amc23", None, 40),
]
# files that not every mirror has
OPTIONAL = [("minerva", "math-ai/minervamath", None, 272), ("olympiadbench", "math-ai/olympiadbench", None, 674)]
OTHERS = 5
# of all 45,150 pairs of different answers in MATH-500, those that are the same and do not look it
EQUAL_BY_EYE = [{"1,-2", "-2,1"}, {"15", r"15\mbox{ cm}^2"}]


@cache
def questions(adapter, dataset, subset, rows):
    settings = SourceSettings(adapter=adapter, dataset=dataset, subset=subset, rows=rows, revision="mirror")
    if not mirrored(settings, None):
        pytest.skip(f"the mirror has no {dataset}")
    return adapt(settings, fetch(settings, None, 1)).questions


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark[0])
def test_rows_and_ids(benchmark):
    read = questions(*benchmark)
    assert len(read) == len({question.id for question in read}) == benchmark[3]


@pytest.mark.parametrize("benchmark", BENCHMARKS + OPTIONAL, ids=lambda benchmark: benchmark[0])
def test_every_reference_grades_correct_against_itself(benchmark):
    wrong = [
        (question.id, verdict)
        for question in questions(*benchmark)
        for answer in {question.answer, question.answer_letter or question.answer}
        if not (
            verdict := grade(f"\\boxed{{{answer}}}", question.answer, question.answer_type, question.options)
        ).correct
    ]
    assert wrong == []


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark[0])
def test_answers_of_other_rows_grade_wrong_unless_equal(benchmark):
    """Every row's question with the answers of OTHERS other rows; what is equal is decided without the grader."""
    draw = random.Random(7)
    read = questions(*benchmark)
    unexpected = []
    for question in read:
        for other in draw.sample(read, OTHERS):
            for answer, allowed in _others(other, question):
                verdict = grade(f"\\boxed{{{answer}}}", question.answer, question.answer_type, question.options)
                if verdict.correct not in allowed:
                    unexpected.append((question.id, question.answer, answer, verdict))
    assert unexpected == []


def _others(other, question):
    """Yield the forms of another row's answer, and what each may be graded as."""
    if question.options is None:
        pair = {other.answer, question.answer}
        yield other.answer, {len({_plain(answer) for answer in pair}) == 1 or pair in EQUAL_BY_EYE}
        return
    same_letter = other.answer_letter == question.answer_letter
    yield other.answer_letter, {same_letter}
    # another question's text behind the right letter: a misquotation, or more than one letter
    yield other.answer, {same_letter, False}
    text, right = other.answer[3:], question.answer[3:]
    if not re.match(r"\W*[A-Za-z]([.):]|$)", text):  # or else it may be a letter, like "H. Ross Perot"
        yield text, {_plain(text).casefold() == _plain(right).casefold()}


def _plain(answer):
    for layout in (" ", "\\!", ",", "\\left", "\\right", "^\\circ", "\\$", "$"):
        answer = answer.replace(layout, "")
    return answer.replace("dfrac", "frac").replace("{", "").replace("}", "")
