"""The credit viewer: one HTML page with groups of a run's responses and, on every token, the numbers of its credit."""

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup

from generalthinker.files import read_parquet, write_text
from generalthinker.methods.method import Method
from generalthinker.records import RunSpec
from generalthinker.reporting.figures import COLOURS
from generalthinker.reporting.pages import render

UP, DOWN, ONE_SIDED = COLOURS[0], COLOURS[3], COLOURS[2]
SATURATED_FROM = 98  # percentile of a column's absolute values


class Column(NamedTuple):
    """Numbers of tokens that the page shows; they have two signs, or else are all on one side of 0."""

    name: str
    label: str
    about: str
    signed: bool


LOGPS = (
    Column("logp", "log π", "log-probability of the token under the policy (nats)", signed=False),
    Column("logp_reference", "log π_ref", "its log-probability under the initial policy (nats)", signed=False),
    Column(
        "logp_given_answer",
        "log π given a*",
        "its log-probability if the policy is told the answer (nats)",
        signed=False,
    ),
    Column("entropy", "entropy", "of the policy where it chooses the token (nats)", signed=False),
)


def write_credit_viewer(data: Path, out: Path, run: RunSpec, method: Method) -> None:
    """Write the page of the responses in `data`, which `training.groups` has written; the same data give the same page.

    The page needs no network. Token numbers are in half precision: three significant digits, 8/3 bytes each.
    """
    frame, metadata = read_parquet(data)
    values = page_data(frame, method, metadata["result_step"])
    page = render(
        "credit_viewer.html.j2",
        run=run.name,
        method=run.method,
        reward=method.reward,
        knobs=[f"{method.knobs()[knob.field].symbol} = {knob.value}" for knob in method.knob_values],
        slow_policy=method.slow_policy is not None,
        columns=columns(method),
        credit=bool(method.quantities),
        questions=len(values["groups"]),
        responses=sum(len(group["responses"]) for group in values["groups"]),
        steps=values["steps"],
        result_step=metadata["result_step"],
        colours={"up": UP, "down": DOWN, "one": ONE_SIDED},
        data=script_safe(values),
    )
    write_text(out, page)


def columns(method: Method) -> list[Column]:
    """Return the columns of a method's responses: its own quantities, the advantage, log-probabilities and entropy."""
    own = []
    for panel in method.quantities:
        label, _, equations = panel.label.partition("\n")
        named = [(panel.column, label), *([panel.overlay] if panel.overlay else [])]
        for place, (name, shown) in enumerate(named):
            about = panel.about[place] if panel.about else ""
            first = shown.partition(",")[0]  # a panel's label names its overlay too
            own.append(Column(name, first, f"{about} ({equations})" if equations else about, signed=True))
    own = own or [Column("advantage", "advantage", "the response's, Â", signed=True)]
    return own + [column for column in LOGPS if column.name not in {known.name for known in own}]


def page_data(frame: pd.DataFrame, method: Method, result_step: int) -> dict[str, Any]:
    """Return what the page's script reads: the columns, the steps, and the groups with all their responses.

    At first, the page shows the policy of `result_step`, the group whose rewards differ most, and as colours the last
    of the method's own quantities before the advantage (w, where there is one), or log-probabilities.
    """
    shown, own = columns(method), [panel.column for panel in method.quantities[:-1]]
    steps = sorted(frame["step"].unique().tolist())
    rewards = frame[frame["step"] == result_step].groupby("group")["reward"]
    return {
        "steps": steps,
        "first_step": steps.index(result_step),
        "first_group": int((rewards.max() - rewards.min()).argmax()),
        "first_column": (own or [LOGPS[0].name])[-1],
        "columns": [column._asdict() | {"limit": _limit(frame[column.name])} for column in shown],
        "groups": [
            {
                "question": group["question"].iloc[0],
                "answer": group["answer"].iloc[0],
                "responses": [_response(lines, shown) for _, lines in group.groupby("response")],
            }
            for _, group in frame.sort_values("step", kind="stable").groupby("group")
        ],
    }


def script_safe(value: Any) -> Markup:
    """Return `value` as JSON that may stand in an HTML `script` element: no text in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Markup(text.replace("<", r"\u003c"))


def _response(lines: pd.DataFrame, shown: Iterable[Column]) -> dict[str, Any]:
    """Return one response with its scores at every step, from its lines of all steps."""
    first = lines.iloc[0]
    return {
        "tokens": list(first["tokens"]),
        "prefix": int(first["prefix"]),
        "truncated": bool(first["truncated"]),
        "correct": bool(first["correct"]),
        "boxed": None if pd.isna(first["boxed"]) else first["boxed"],
        "steps": [
            {
                "reward": float(f"{line['reward']:.4g}"),
                "advantage": float(f"{line['response_advantage']:.4g}"),
                "left_out": bool(line["left_out"]),
                "numbers": {column.name: _half(line[column.name]) for column in shown},
            }
            for _, line in lines.iterrows()
        ],
    }


def _half(values: np.ndarray) -> str:
    """Return numbers in half precision (IEEE 754, little endian), in base64."""
    return base64.b64encode(values.astype("<f2").tobytes()).decode()


def _limit(values: pd.Series) -> float:
    """Return the absolute value, to two digits, from which on a column's colour gets no stronger."""
    absolute = np.abs(np.concatenate(values.tolist()))
    known = absolute[~np.isnan(absolute)]
    limit = float(np.percentile(known, SATURATED_FROM)) if len(known) else 0.0
    return float(f"{limit:.2g}") or 1.0
