"""The hand-checked verdicts in tests/grading/: the grader agrees with every one, known misses aside."""

from pathlib import Path

import pytest
import yaml

from generalthinker.answers import REASONS, grade

CORPUS = Path(__file__).parent / "grading"
BENCHMARKS = {
    "math": {"GSM8K", "MATH-500", "Minerva", "OlympiadBench", "AMC23"},
    "choice": {"MMLU", "MMLU-Redux", "MMLU-Pro", "GPQA", "GPQA-Diamond", "SuperGPQA", "CrossThink-QA"},
}


def questions(name):
    # the base loader leaves every scalar text: a reference of 18.00 stays "18.00"
    return yaml.load((CORPUS / f"{name}.yaml").read_text(encoding="utf-8"), yaml.BaseLoader)


def cases(*verdicts):
    for name, answer_type in (("math", "math"), ("choice", "mcq")):
        for benchmark, group in questions(name).items():
            for question in group:
                for verdict in verdicts:
                    for response in question.get(verdict, []):
                        yield pytest.param(
                            response,
                            question["reference"],
                            answer_type,
                            question.get("options"),
                            verdict == "right",
                            id=f"{benchmark}: {question['reference']} {verdict} {response}",
                        )


@pytest.mark.parametrize(("response", "reference", "answer_type", "options", "right"), list(cases("right", "wrong")))
def test_the_grader_agrees(response, reference, answer_type, options, right):
    verdict = grade(response, reference, answer_type, options)
    assert verdict.correct == right, verdict
    assert verdict.reason in REASONS


@pytest.mark.parametrize(("response", "reference", "answer_type", "options", "_"), list(cases("missed")))
def test_known_misses_are_still_missed(response, reference, answer_type, options, _):
    """A case that the grader now judges correct belongs under `right`."""
    assert not grade(response, reference, answer_type, options).correct


def test_every_benchmark_is_there_with_both_verdicts():
    for name, benchmarks in BENCHMARKS.items():
        groups = questions(name)
        assert set(groups) == benchmarks
        for benchmark, group in groups.items():
            for verdict in ("right", "wrong"):
                assert sum(len(question.get(verdict, [])) for question in group) >= 7, (benchmark, verdict)


def test_no_case_comes_twice_and_there_are_enough():
    every = [case.values[:4] for case in cases("right", "wrong", "missed")]
    assert len({str(case) for case in every}) == len(every) >= 900
