"""Rows of Nemotron-CrossThink-QA in every schema that its adapter might meet, for the stand-ins.

Which one the dataset has could not be looked up. Each function takes stem, options and the place of the right one, and
returns a row; an open-ended question has no options, and `place` is then its answer.
"""

from typing import Any

from generalthinker.data.sources import DatasetRow
from generalthinker.records import LETTERS


def _lines(stem: str, options: list[str]) -> str:
    return "\n".join([stem, *(f"{letter}. {text}" for letter, text in zip(LETTERS, options, strict=False))])


def _verl(content: str, answer: str, **meta: Any) -> DatasetRow:
    return {
        "data_source": "nemotron_crossthink_qa",
        "prompt": [{"role": "user", "content": content}],
        "ability": "qa",
        "reward_model": {"style": "rule", "ground_truth": answer},
        "meta_data": meta,
    }


def _letter(options: list[str], place: int) -> str:
    return LETTERS[place] if options else str(place)


def _instructed(text: str) -> str:
    return f"{text}\n\nReason step by step and put the answer in \\boxed{{}}."


def _verl_inline(stem: str, options: list[str], place: int) -> DatasetRow:
    text = _lines(stem, options)
    return _verl(_instructed(text), _letter(options, place), question=text)


def _verl_prompt(stem: str, options: list[str], place: int) -> DatasetRow:
    return _verl(_instructed(_lines(stem, options)), _letter(options, place))


def _verl_options(stem: str, options: list[str], place: int) -> DatasetRow:
    return _verl(_instructed(_lines(stem, options)), _letter(options, place), question=stem, options=options)


def _verl_text(stem: str, options: list[str], place: int) -> DatasetRow:
    answer = f"({LETTERS[place]}) {options[place]}" if options else str(place)
    return _verl(_instructed(_lines(stem, options)), answer, question=stem, options=options)


def _extra_info(stem: str, options: list[str], place: int) -> DatasetRow:
    row = _verl_options(stem, options, place)
    row["extra_info"] = row.pop("meta_data")
    return row


def _columns(stem: str, options: list[str], place: int) -> DatasetRow:
    return {"question": stem, "options": options, "answer": _letter(options, place), "domain": "general"}


def _letters(stem: str, options: list[str], place: int) -> DatasetRow:
    return {"question": stem, "options": dict(zip(LETTERS, options, strict=False)), "answer": _letter(options, place)}


def _text(stem: str, options: list[str], place: int) -> DatasetRow:
    heading = f"{stem}\n\nOptions:" if options else stem
    return {"question": _lines(heading, options), "answer": options[place] if options else str(place)}


SCHEMAS = {
    "verl-inline": _verl_inline,  # verl's layout; question with options below it in meta_data
    "verl-prompt": _verl_prompt,  # verl's layout; the question is in the prompt alone
    "verl-options": _verl_options,  # verl's layout; options apart from the question in meta_data
    "verl-text": _verl_text,  # as verl-options; the answer is "(C) text"
    "extra-info": _extra_info,  # verl's layout; extra_info instead of meta_data
    "columns": _columns,  # columns question, options, answer
    "letters": _letters,  # options as a mapping from letter to text
    "text": _text,  # options inside the question, the answer is an option's text
}
