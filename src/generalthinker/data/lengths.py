"""Count the tokens of the whole chat prompt of every question."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from generalthinker import prompts
from generalthinker.data import DataError

BATCH = 1000


def prompt_lengths(questions: Sequence[str], tokenizer: Path, label: str) -> list[int]:
    """Return the prompt length of every question in tokens; `tokenizer` is a folder, `label` names the progress bar.

    Raises DataError if the folder does not exist.
    """
    from transformers import AutoTokenizer

    if not tokenizer.is_dir():
        raise DataError(
            f"{label}: counting prompt tokens needs the tokenizer of the model in {tokenizer}, which does not exist; "
            f"make it first: generalthinker model {tokenizer.name}"
        )
    loaded = AutoTokenizer.from_pretrained(tokenizer)
    lengths: list[int] = []
    for start in tqdm(range(0, len(questions), BATCH), desc=f"{label}: counting tokens", unit="batch", disable=None):
        texts = [prompts.question_prompt(loaded, question) for question in questions[start : start + BATCH]]
        lengths += map(len, loaded(texts, add_special_tokens=False)["input_ids"])
    return lengths
