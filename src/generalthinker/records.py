"""The vocabulary of every stage: what is asked, what is answered, how it is graded, and which run it belongs to."""

import re
import string
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

AnswerType = Literal["mcq", "math"]
# The letters that name the options of a multiple-choice question, in order.
LETTERS = string.ascii_uppercase


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its reference answer; the row of every file under `data/`.

    A multiple-choice question carries its options in `question` as paragraphs "A. text"; its `answer` is "C. text"
    and its `answer_letter` "C". `options` holds the bare option texts in order (None for `math`).
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
    """One generated response, kept raw: grading again needs no generation.

    `tokens` counts the completion's tokens; `truncated` is True where the token limit ended it.
    """

    benchmark: str
    id: str
    response: str
    tokens: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class Grade:
    """The verdict on one response: `reason` is one of `generalthinker.answers.REASONS`."""

    correct: bool
    extracted: str | None
    reason: str


def slug(name: str) -> str:
    """Return `name` as a file name: letters, digits and `+ . _ -` stay, any other run of characters becomes one `-`.

    >>> slug("AM only"), slug("AM+TC"), slug("Math & STEM")
    ('AM-only', 'AM+TC', 'Math-STEM')
    """
    return re.sub(r"[^A-Za-z0-9+._-]+", "-", name).strip("-")


class KnobValue(NamedTuple):
    """The value of one knob of a run's method: the method's field, its short name in the run's name, the value."""

    field: str
    suffix: str
    value: Any


@dataclass(frozen=True, slots=True)
class RunSpec:
    """The identity of one training job: exactly what makes two runs of one experiment different.

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
