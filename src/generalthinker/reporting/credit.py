"""Does the credit find the wrong step? How often a token-level signal ranks a wrong token above others.

Every signal is turned so that it is higher on a token that it blames more. A response's area under the curve (AUC) is
the share of pairs of a wrong token and another one in which the signal is higher on the wrong one; equal ones count
half.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from generalthinker.config.settings import Settings
from generalthinker.files import read_parquet, write_text
from generalthinker.methods.method import Method
from generalthinker.paths import Layout
from generalthinker.records import RunSpec
from generalthinker.reporting.cells import credit_runs
from generalthinker.reporting.figures import COLOURS, mark_other_code, save, style
from generalthinker.reporting.measure import IncompleteResultsError
from generalthinker.reporting.other_code import other_training_code

COMPARISONS = {
    "in the response": "a wrong token against\nthe others of its response",
    "in the right copy": "the right token at its place against\nthe others of the right copy",
    "same place": "the wrong token against\nthe right one at the same place",
}
ALL = "all tasks"
BEFORE, AFTER = "before training", "result"
# Two numbers that differ by less are equal: the same number comes out of two passes with different rounding errors.
EQUAL = 1e-5
KEYS = ["run", "policy", "signal", "comparison", "task"]


def write_credit(settings: Settings, csv: Path, md: Path, png: Path, pdf: Path) -> None:
    """Write how well each signal finds the wrong steps, as CSV, Markdown (the result, by task) and a figure.

    Raises IncompleteResultsError if the settings ask for no run, or the signals of one are missing.
    """
    if settings.credit is None:
        raise IncompleteResultsError(f"{settings.name}: the section `credit` is missing; config/README.md explains it")
    of_responses = [
        measure(*_read(settings, run), settings.method(run)).assign(run=label, seed=run.seed)
        for label, choice in settings.credit.runs.items()
        for run in settings.runs(choice)
    ]
    areas = summarise(pd.concat(of_responses, ignore_index=True))
    write_text(csv, areas.to_csv(index=False, lineterminator="\n", float_format="%.4f"))
    table = by_task(areas)
    text = table.to_markdown(index=False, floatfmt=".2f", colalign=["left"] * 2 + ["right"] * (table.shape[1] - 2))
    write_text(md, f"{text}\n\n{NOTE}\n")
    others = [sentence for run in credit_runs(settings) if (sentence := other_training_code(settings, run))]
    with style():
        figure = draw(areas)
        mark_other_code(figure, others)
        save(figure, png, pdf)


NOTE = (
    "After the training: AUC of wrong tokens against the others of their response, mean over responses. 1: the signal "
    "is always highest on the wrong tokens, 0.5: chance, 0: always lowest. credit.csv has intervals, the policies "
    "before and during the training, and the comparisons with the right copy."
)


def area(wrong: np.ndarray, others: np.ndarray) -> float:
    """Return the share of pairs in which the wrong token (n,) is above the other (m,), equal ones half; NaN if none."""
    gaps = np.subtract.outer(wrong, others)
    return float(((gaps > EQUAL) + 0.5 * (np.abs(gaps) <= EQUAL)).mean()) if gaps.size else float("nan")


def suspicion(line: Mapping[Any, Any], method: Method) -> dict[str, np.ndarray]:
    """Return the signals on the reasoning tokens of one reading; each is higher on a token that it blames more.

    `line` is one of `training.signals`. The method's own quantities come first; they are low on tokens that are blamed.
    """
    own = [panel.column for panel in method.quantities[:-1]]
    # Every response has its own numbers, which are the same for all runs and steps.
    random = np.random.default_rng([line["response"], line["copy"] == "wrong"]).random(len(line["logp"]))
    signals = {name: -line[name] for name in own} | {
        "policy-policy": line["logp"] - line["logp_given_answer"],
        "between answers": line["logp_given_other"] - line["logp_given_answer"],
        "low probability": -line["logp"],
        "entropy": line["entropy"],
        "random": random,
    }
    return {name: values[: line["prefix"]] for name, values in signals.items()}


def measure(readings: pd.DataFrame, result_step: int, method: Method) -> pd.DataFrame:
    """Return policy, task, response, signal, comparison and area of every marked response of one run.

    `readings` are those of `training.signals`. A policy is `BEFORE`, `step N` for every adapter, or `AFTER`, which is
    the result of the run once more. A comparison that a response does not allow is left out: it has no corrected copy,
    or no other token.
    """
    lines = []
    for (step, response), copies in readings.groupby(["step", "response"]):
        readings_of = {copy["copy"]: copy for copy in copies.to_dict("records")}
        compared = _compare(readings_of["wrong"], readings_of.get("right"), method)
        policies = [f"step {step}" if step else BEFORE, *([AFTER] if step == result_step else [])]
        for policy in policies:
            about = {"policy": policy, "task": readings_of["wrong"]["task"], "response": response}
            lines += [about | line for line in compared if not np.isnan(line["area"])]
    return pd.DataFrame(lines, columns=["policy", "task", "response", "signal", "comparison", "area"])


def _compare(wrong: Mapping[Any, Any], right: Mapping[Any, Any] | None, method: Method) -> list[dict[str, Any]]:
    within, at_place, same_place = COMPARISONS
    blamed, place = suspicion(wrong, method), wrong["place"]
    of_right = suspicion(right, method) if right else {}
    lines = []
    for signal, values in blamed.items():
        found = {within: _against_others(values, wrong["marked"])}
        if right:
            others = of_right[signal]
            found[at_place] = _against_others(others, right["marked"])
            found[same_place] = area(values[place : place + 1], others[place : place + 1])
        lines += [{"signal": signal, "comparison": name, "area": value} for name, value in found.items()]
    return lines


def _against_others(values: np.ndarray, marked: np.ndarray) -> float:
    """Return the area of the marked tokens against the others; `values` are those of the reasoning tokens alone."""
    chosen = np.asarray(marked, dtype=bool)[: len(values)]
    return area(values[chosen], values[~chosen])


def summarise(areas: pd.DataFrame) -> pd.DataFrame:
    """Return the mean area by run, policy, signal, comparison and task, and over all tasks, with its 95 % interval.

    The interval is Student's, over the responses; a response's area is first averaged over the training seeds.
    `deviation` is the standard deviation of the seeds' means (NaN for one seed).
    """
    both = pd.concat([areas, areas.assign(task=ALL)], ignore_index=True)
    order = {name: list(dict.fromkeys(both[name])) for name in KEYS}
    order["policy"] = sorted(order["policy"], key=_by_step)
    order["task"] = [ALL, *(task for task in order["task"] if task != ALL)]
    for name, values in order.items():
        both[name] = pd.Categorical(both[name], values, ordered=True)
    # The same response of another task would be another response.
    of_seeds = both.groupby([*KEYS, "seed"], observed=True)["area"].mean().groupby(KEYS, observed=True)
    of_responses = both.groupby([*KEYS, "response"], observed=True)["area"].mean().groupby(KEYS, observed=True)
    count, mean = of_responses.count(), of_responses.mean()
    spread = of_responses.sem() * stats.t.ppf(0.975, np.maximum(count - 1, 1))
    return pd.DataFrame(
        {
            "area": mean,
            "ci_low": np.maximum(mean - spread, 0),
            "ci_high": np.minimum(mean + spread, 1),
            "responses": count,
            "seeds": of_seeds.count(),
            "deviation": of_seeds.std(),
        }
    ).reset_index()


def by_task(areas: pd.DataFrame) -> pd.DataFrame:
    """Return the areas after training in the first comparison: a line per run and signal, a column per task."""
    shown = areas[(areas["policy"] == AFTER) & (areas["comparison"] == next(iter(COMPARISONS)))]
    pivot = shown.pivot_table(index=["run", "signal"], columns="task", values="area", observed=True, sort=False)
    return pivot.reset_index().rename_axis(columns=None)


def draw(areas: pd.DataFrame) -> Figure:
    """Return the areas over all tasks: a row of panels per comparison, a column per run, a line per signal."""
    whole = areas[areas["task"] == ALL]
    runs, signals = (list(dict.fromkeys(whole[name])) for name in ("run", "signal"))
    comparisons = [name for name in COMPARISONS if name in set(whole["comparison"])]
    size = (max(5.4, 2.0 + 2.4 * len(runs)), 1.2 + (0.4 + 0.18 * len(signals)) * len(comparisons))
    figure, axes = plt.subplots(
        len(comparisons), len(runs), figsize=size, layout="constrained", squeeze=False, sharex=True, sharey=True
    )
    for line, comparison in zip(axes, comparisons, strict=True):
        for axis, run in zip(line, runs, strict=True):
            _panel(axis, whole[(whole["run"] == run) & (whole["comparison"] == comparison)], signals)
        line[0].set_ylabel(COMPARISONS[comparison], fontsize=8)
    for axis, run in zip(axes[0], runs, strict=True):
        axis.set_title(run)
    axes[0][0].set(xlim=(-0.03, 1.03), xticks=[0, 0.25, 0.5, 0.75, 1])
    axes[0][0].set_yticks(range(len(signals)), signals)
    axes[0][0].invert_yaxis()
    figure.suptitle("Which signal finds the wrong step?\narea under the curve: 1 always, 0.5 chance, 0 never", size=11)
    named = [axis.get_legend_handles_labels() for axis in axes.flat]
    handles = {label: handle for pair in named for handle, label in zip(*pair, strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles), fontsize=8)
    return figure


def _panel(axis: Axes, areas: pd.DataFrame, signals: list[str]) -> None:
    """Draw the policies of one run in one comparison; between the first and the last, without intervals."""
    axis.axvline(0.5, color="black", linewidth=0.8)
    for policy, label, colour, marker, shift in (
        (BEFORE, BEFORE, COLOURS[6], "s", -0.17),
        (None, "steps between", COLOURS[5], ".", 0.0),
        (AFTER, "after training (95 % interval)", COLOURS[0], "o", 0.17),
    ):
        ends = areas["policy"].isin([BEFORE, AFTER])
        shown = areas[~ends if policy is None else areas["policy"] == policy]
        heights = [signals.index(name) + shift for name in shown["signal"]]
        if policy is not None:
            axis.hlines(heights, shown["ci_low"], shown["ci_high"], color=colour, linewidth=1.5)
        if len(shown):
            axis.plot(shown["area"], heights, marker, color=colour, markersize=4, label=label)
    axis.grid(visible=False, axis="y")
    axis.tick_params(labelsize=8)


def _by_step(policy: str) -> float:
    return {BEFORE: -1.0, AFTER: float("inf")}.get(policy) or float(policy.removeprefix("step "))


def _read(settings: Settings, run: RunSpec) -> tuple[pd.DataFrame, int]:
    """Return the readings of a run and the step of its result. Raises IncompleteResultsError if there are none."""
    path = Path(Layout(settings.results).signals(run.name))
    if not path.exists():
        raise IncompleteResultsError(f"{path}: no such file; run `snakemake {path}` first")
    frame, metadata = read_parquet(path)
    return frame, metadata["result_step"]
