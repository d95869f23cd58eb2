import os
import random
from functools import cache

import pytest

from generalthinker.answers import grade
from generalthinker.config.data import SourceSettings
from generalthinker.data.adapt import adapt
from generalthinker.data.fetch import MIRROR_VARIABLE, fetch

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
SAMPLED_PAIRS = 400


@cache
def questions(adapter, dataset, subset, rows):
    settings = SourceSettings(adapter=adapter, dataset=dataset, subset=subset, rows=rows, revision="mirror")
    return adapt(settings, fetch(settings, None, 1)).questions


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark[0])
def test_rows_and_ids(benchmark):
    read = questions(*benchmark)
    assert len(read) == len({question.id for question in read}) == benchmark[3]


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark[0])
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
    draw = random.Random(7)
    read = questions(*benchmark)
    wrong = []
    for _ in range(SAMPLED_PAIRS):
        question, other = draw.sample(read, 2)
        if question.options is None:
            answer, equal = other.answer, _plain(other.answer) == _plain(question.answer)
        else:
            letter = draw.randrange(len(question.options))
            answer, equal = "ABCDEFGHIJ"[letter], "ABCDEFGHIJ"[letter] == question.answer_letter
        verdict = grade(f"\\boxed{{{answer}}}", question.answer, question.answer_type, question.options)
        if verdict.correct != equal:
            wrong.append((question.id, question.answer, answer, verdict))
    assert wrong == []


def _plain(answer):
    for layout in (" ", "\\!", ",", "\\left", "\\right", "^\\circ", "\\$"):
        answer = answer.replace(layout, "")
    return answer.replace("dfrac", "frac").replace("{", "").replace("}", "")
