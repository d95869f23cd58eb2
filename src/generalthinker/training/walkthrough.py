"""One response of a trained policy, token by token, with the quantities of the method's token-level credit."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from generalthinker.config.settings import Settings
from generalthinker.errors import StageError
from generalthinker.files import write_text
from generalthinker.records import RunSpec
from generalthinker.training.groups import adapters_of, sample_groups

QUESTIONS = 16


class NothingToShowError(StageError, ValueError):
    """The run has no token-level credit, or none of its responses shows it."""


def write_walkthrough(settings: Settings, run: RunSpec, out: Path) -> None:
    """Write one response of `run`'s trained policy to `out` (CSV), token by token, with the quantities of its credit.

    Samples a group for each of the first training questions as a training step would, and keeps the response whose
    token advantages differ most from its response advantage (sum of absolute differences). Columns: `token`,
    `in_prefix`, the method's own quantities on reasoning tokens, `advantage`, and in every line `response_advantage`,
    `question` and `answer`, the reference.
    """
    panels = settings.method(run).quantities
    if not panels:
        raise NothingToShowError(
            f"{run.name}: the method {run.method!r} gives every token the response's advantage; choose a run whose "
            f"method has token-level credit, or see this one's responses: generalthinker credit-viewer {run.name}"
        )
    adapters, result = adapters_of(settings, run)
    responses = sample_groups(settings, run, {result: adapters[result]}, result, QUESTIONS)
    reasoned = responses[responses["prefix"] > 0]
    if reasoned.empty:
        raise NothingToShowError(
            f"{run.name}: none of the responses to {responses['group'].nunique()} questions has both reasoning and a "
            "boxed answer"
        )
    moved = [np.abs(line["advantage"] - line["response_advantage"]).sum() for _, line in reasoned.iterrows()]
    shown = reasoned.iloc[int(np.argmax(moved))]
    columns = [name for panel in panels for name in (panel.column, *(panel.overlay or ())[:1])]
    frame = pd.DataFrame({"token": shown["tokens"]} | {name: shown[name].astype(float) for name in columns})
    frame.insert(1, "in_prefix", frame.index < shown["prefix"])
    write_table(frame.assign(**shown[["response_advantage", "question", "answer"]]), out)


def write_table(frame: pd.DataFrame, out: Path) -> None:
    """Write the table of one response; texts are quoted, because tokens may be line breaks of every kind."""
    write_text(out, frame.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC))
