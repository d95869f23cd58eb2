"""The records that stages exchange: questions, responses, grades, and the identity of a run."""

import re
import string
from dataclasses import dataclass
from typing import Any, NamedTuple

# A key of `answers.COMPARISONS`, the one list of answer types; questions of any other type are refused.
AnswerType = str
# The letters that name the options of a multiple-choice question, in order.
LETTERS = string.ascii_uppercase


# Between a question's id and the number of the response, where a benchmark asks for several responses per question.
SAMPLE = "#sample-"


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its reference answer; the row of every file under `data/`.

    A multiple-choice question carries its options in `question` as paragraphs "A. text"; its `answer` is "C. text"
    and its `answer_letter` "C". `options` holds the option texts without letters, in order (None for `math`).
    """

    id: str
    question: str
    answer: str
    answer_type: AnswerType
    options: list[str] | None
    answer_letter: str | None
    source: str
    domain: str


@dataclass(frozen=True, slots=True)
class Response:
    """One generated response. Its raw text is kept, so that it can be graded again without being generated again.

    `tokens` is the number of the completion's tokens; `truncated` is True if the token limit ended it.
    """

    benchmark: str
    id: str
    response: str
    tokens: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class Grade:
    """The grade of one response; `reason` is one of `generalthinker.answers.reasons.REASONS`."""

    correct: bool
    extracted: str | None
    reason: str


def sample_id(question: str, number: int) -> str:
    """Return the id of one of several responses to a question.

    >>> sample_id("q7", 2), question_id("q7#sample-2"), question_id("q7")
    ('q7#sample-2', 'q7', 'q7')
    """
    return f"{question}{SAMPLE}{number}"


def question_id(id: str) -> str:
    """Return the id of the question that a response answers."""
    return id.partition(SAMPLE)[0]


def slug(name: str) -> str:
    """Return `name` as a file name: `-` replaces every sequence of characters other than letters, digits and `+ . _ -`.

    >>> slug("AM only"), slug("AM+TC"), slug("Math & STEM")
    ('AM-only', 'AM+TC', 'Math-STEM')
    """
    return re.sub(r"[^A-Za-z0-9+._-]+", "-", name).strip("-")


class KnobValue(NamedTuple):
    """One knob of a run's method: the method's field, its short name in the run's name, and its value."""

    field: str
    suffix: str
    value: Any


@dataclass(frozen=True, slots=True)
class RunSpec:
    """The identity of one run: two runs of an experiment differ in at least one of these fields.

    `knobs` are the method's knobs that are not off, in the method's order; `seed` is None for an untrained model.
    """

    model: str
    method: str
    knobs: tuple[KnobValue, ...] = ()
    seed: int | None = None

    @property
    def name(self) -> str:
        """The run's folder below `runs/`: `model/method[_knob-value …][_seed-n]`."""
        parts = [slug(self.method), *(f"{knob.suffix}-{slug(str(knob.value))}" for knob in self.knobs)]
        if self.seed is not None:
            parts.append(f"seed-{self.seed}")
        return f"{slug(self.model)}/{'_'.join(parts)}"
