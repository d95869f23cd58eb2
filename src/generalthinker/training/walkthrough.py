"""One response of a trained policy, token by token, with the quantities of the method's token-level credit."""

import csv
import itertools
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from generalthinker.config.settings import Settings
from generalthinker.errors import StageError
from generalthinker.files import write_text
from generalthinker.paths import Layout
from generalthinker.records import RunSpec
from generalthinker.training.run import build_trainer, grpo_arguments, load_adapter
from generalthinker.training.trainer import MethodTrainer

QUESTIONS = 16


class NothingToShowError(StageError, ValueError):
    """The run has no token-level credit, or none of its responses shows it."""


def write_walkthrough(settings: Settings, run: RunSpec, out: Path) -> None:
    """Write one response of `run`'s trained policy to `out` (CSV), token by token, with the quantities of its credit.

    Samples a group for each of the first training questions as a training step would, and keeps the response whose
    token advantages differ most from its response advantage (sum of absolute differences). Columns: `token`,
    `in_prefix`, the method's own quantities on reasoning tokens, `response_advantage`,
    `advantage`, and in every line `question` and `answer`, the reference.
    """
    if not settings.method(run).quantities:
        raise NothingToShowError(
            f"{run.name}: the method {run.method!r} gives every token the response's advantage; choose a run whose "
            "method has token-level credit"
        )
    layout, training = Layout(settings.results), settings.training
    with TemporaryDirectory() as unused:
        trainer = build_trainer(settings, run, grpo_arguments(settings, run, 1, unused))
    load_adapter(trainer.model, Path(layout.adapter(run.name)))
    trainer.model.train()
    questions = trainer.train_dataset.select(range(min(QUESTIONS, len(trainer.train_dataset)))).to_list()
    frames = [frame for question in questions for frame in _group(trainer, [question] * training.group_size)]
    if not frames:
        raise NothingToShowError(
            f"{run.name}: none of the responses to {len(questions)} questions has both reasoning and a boxed answer"
        )
    shown = max(frames, key=lambda frame: (frame["advantage"] - frame["response_advantage"]).abs().sum())
    write_table(shown, out)


def write_table(frame: pd.DataFrame, out: Path) -> None:
    """Write the table of one response; texts are quoted, because tokens may be line breaks of every kind."""
    write_text(out, frame.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC))


def token_texts(tokenizer, ids: list[int]) -> list[str]:
    """Return the text of every token; joined, they are the text of all tokens.

    A character that is spread over several tokens belongs to the first of them, and the others have the empty text.
    """
    # An incomplete character at the end decodes to one character.
    ends = [len(tokenizer.decode(ids[:count])) for count in range(len(ids) + 1)]
    text = tokenizer.decode(ids)
    return [text[start:end] for start, end in itertools.pairwise(ends)]


def _group(trainer: MethodTrainer, rows: list[dict]) -> list[pd.DataFrame]:
    """Return one table per response of a sampled group that has a reasoning prefix."""
    output = trainer._generate_and_score_completions(rows)
    assert trainer.credit is not None
    mask = trainer.prefix_mask(output)
    frames = []
    for i, ids in enumerate(output["completion_ids"]):
        count, prefix = int(output["completion_mask"][i].sum()), int(mask[i].sum())
        if not 0 < prefix < count:
            continue
        frame = pd.DataFrame({"token": token_texts(trainer.tokenizer, ids[:count].tolist())})
        frame["in_prefix"] = mask[i, :count].tolist()
        for name, values in trainer.credit.quantities.items():
            frame[name] = pd.Series(values[i, :count].tolist()).where(frame["in_prefix"])
        advantages = output["advantages"][i, :count].tolist()
        frame["response_advantage"] = advantages[prefix]  # tokens after the prefix keep the response's
        frame["advantage"] = advantages
        frame[["question", "answer"]] = rows[i]["question"], rows[i]["answer"]
        frames.append(frame)
    return frames
