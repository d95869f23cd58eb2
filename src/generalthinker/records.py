"""The vocabulary of every stage: what is asked, what is answered, how it is graded, and which run it belongs to."""

import re
import string
from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True, slots=True)
class RunSpec:
    """The identity of one training job: exactly what makes two runs of one experiment different.

    `modulation_strength` (β) is None for methods without advantage modulation, `clip_threshold` (τ) for methods
    without token clipping, `seed` for the untrained base model.
    """

    model: str
    method: str
    modulation_strength: float | None = None
    clip_threshold: float | None = None
    seed: int | None = None

    @property
    def name(self) -> str:
        """The run's folder below `runs/`: `model/method_strength-β_clip-τ_seed-n`, inapplicable parts left out."""
        parts = [slug(self.method)]
        for label, value in (
            ("strength", self.modulation_strength),
            ("clip", self.clip_threshold),
            ("seed", self.seed),
        ):
            if value is not None:
                parts.append(f"{label}-{value}")
        return f"{slug(self.model)}/{'_'.join(parts)}"
