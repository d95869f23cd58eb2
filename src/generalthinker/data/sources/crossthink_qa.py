"""Nemotron-CrossThink-QA (`nvidia/Nemotron-CrossThink`, split train_qa): multi-domain multiple choice for training.

The dataset's page shows verl's layout (`prompt`, `reward_model.ground_truth`, `meta_data`) but does not specify it, so
this adapter looks for question, options and answer in every place where such rows may keep them. Open-ended rows are
left out, because their free-text answers are neither a letter nor mathematics.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from generalthinker.data.choices import index_of, multiple_choice
from generalthinker.data.sources import UnusedRowError
from generalthinker.records import LETTERS, Question

COLUMNS: tuple[str, ...] = ()
LICENCE = "CC-BY-4.0"

_NESTED = ("meta_data", "extra_info", "reward_model")
_OPTION = re.compile(r"^[ \t]*\(?([A-Z])[.):][ \t]+", re.MULTILINE)
_LETTER = re.compile(r"\(?([A-Z])\)?(?:[.):](?:\s.*)?)?", re.DOTALL)
_HEADING = re.compile(r"\n\s*(?:options|choices|answer choices)\s*:?\s*$", re.IGNORECASE)


def question(row: dict[str, Any], index: int) -> Question:
    """Return one multiple-choice row; raises UnusedRowError if it is open-ended, ValueError if no option is correct."""
    answer = next((str(value).strip() for value in _values(row, "ground_truth", "answer", "correct_answer")), "")
    texts = [text for value in _values(row, "question", "problem", "prompt") if (text := _text(value))]
    if not answer or not texts:
        raise ValueError("neither a question (question, problem, prompt) nor an answer (ground_truth, answer) found")
    options = next((_listed(value) for value in _values(row, "options", "choices")), [])
    stem = texts[0]
    for text in texts:
        inline_stem, inline = _inline(text)
        if inline and (not options or inline == options):
            stem, options = inline_stem, inline
            break
    if not options and not _LETTER.fullmatch(answer):
        raise UnusedRowError("open_ended")
    return multiple_choice(
        id=f"crossthink-qa-{hashlib.sha256(stem.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}",
        stem=stem,
        options=options,
        correct=_correct(answer, options),
        source="nvidia/Nemotron-CrossThink",
        domain=str(next(_values(row, "domain", "subject", "topic", "ability"), "general")),
    )


def _values(row: dict[str, Any], *names: str) -> Iterator[Any]:
    """Yield the non-empty values that the row, or a dictionary inside it, has under these names."""
    places = [row, *(row[key] for key in _NESTED if isinstance(row.get(key), dict))]
    for name in names:
        for place in places:
            if place.get(name) not in (None, "", [], {}):
                yield place[name]


def _text(value: Any) -> str:
    """Return a text, or the last user turn of a chat."""
    if isinstance(value, str):
        return value.strip()
    turns = [turn["content"] for turn in value if isinstance(turn, dict) and turn.get("role", "user") == "user"]
    return turns[-1].strip() if turns else ""


def _listed(value: Any) -> list[str]:
    """Return options given as a list or as a dictionary from letter to text, without letters of their own."""
    texts = [str(value[key]) for key in sorted(value)] if isinstance(value, dict) else [str(text) for text in value]
    return [_OPTION.sub("", text, count=1).strip() for text in texts]


def _inline(text: str) -> tuple[str, list[str]]:
    """Split a text into question and options "A. …", "B. …", one per line; options must be A, B, C … without a gap."""
    marks = list(_OPTION.finditer(text))
    starts = [k for k, mark in enumerate(marks) if mark[1] == "A"]
    for start in reversed(starts):
        run = [mark for mark, wanted in zip(marks[start:], LETTERS, strict=False) if mark[1] == wanted]
        if len(run) >= 2 and len(run) == len(marks) - start:
            ends = [mark.start() for mark in run[1:]] + [len(text)]
            options = [text[mark.end() : end].strip() for mark, end in zip(run, ends, strict=True)]
            # A paragraph after the last option is an instruction and does not belong to the option.
            options[-1] = re.split(r"\n\s*\n", options[-1])[0].strip()
            return _HEADING.sub("", text[: run[0].start()]).strip(), options
    return text, []


def _correct(answer: str, options: list[str]) -> int:
    """Return the index of the option that `answer` names by its letter or its text. Raises ValueError if none."""
    if answer in options:
        return options.index(answer)
    match = _LETTER.fullmatch(answer)
    if match and index_of(match[1]) < len(options):
        return index_of(match[1])
    raise ValueError(f"answer {answer!r} names none of the options {options}")
