"""What the training and validation questions are: one line each, for the composition table and figure."""

from pathlib import Path

import pandas as pd

from generalthinker.data.lengths import prompt_lengths
from generalthinker.data.questions import read_questions


def composition(files: dict[str, Path], tokenizer: Path) -> pd.DataFrame:
    """Return split, source, answer_type, domain and prompt_tokens of every question in `files` (split → file)."""
    frames = []
    for split, path in files.items():
        questions, _ = read_questions(path)
        frames.append(
            pd.DataFrame(
                {
                    "split": split,
                    "source": [question.source for question in questions],
                    "answer_type": [question.answer_type for question in questions],
                    "domain": [question.domain for question in questions],
                    "prompt_tokens": prompt_lengths([question.question for question in questions], tokenizer, split),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)
