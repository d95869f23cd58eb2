"""What `generalthinker check --gpu` found, as a table with advice, and the hours of each run that follow from it."""

from collections.abc import Iterable
from io import StringIO
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from generalthinker.config.settings import Settings
from generalthinker.files import read_json
from generalthinker.paths import Layout
from generalthinker.records import RunSpec
from generalthinker.reporting.assumptions import Assumptions
from generalthinker.reporting.estimate import Estimate, Gpus, total_steps

ONE_GPU = Gpus({"train": 1, "generate": 1}, "")


def failed_parts(settings: Settings) -> list[str]:
    """Return the names of the last check's parts that failed."""
    return [part["part"] for part in _parts(settings) if part["state"] == "failed"]


def describe_check(settings: Settings, runs: Iterable[RunSpec]) -> str:
    """Return the last check's parts, what to do about those that did not pass, and the hours of `runs`."""
    out = StringIO()
    console = Console(file=out, width=140, highlight=False, markup=False)
    parts = _parts(settings)
    found = _table("part", "result", "found")
    for part in parts:
        state = part["state"]
        found.add_row(part["part"], state.upper() if state == "failed" else state, part["found"])
    console.print(found)
    advice: dict[str, list[str]] = {}
    for part in parts:
        advice.setdefault(part["advice"], []).append(part["part"])
    advice.pop("", None)
    if advice:
        logs = Layout(settings.results).gpu_check_logs
        console.print(f"What to do (the parts' logs are in {logs}/):", soft_wrap=True)
    for text, names in advice.items():
        console.print(f"- {', '.join(names)}: {text}", soft_wrap=True)
    measured, computed = Estimate(settings, Assumptions(), ONE_GPU), Estimate(settings, Assumptions(), ONE_GPU, {})
    hours = _table("run", "steps", "s per step", "hours", "as plan estimates")
    for run in runs:
        if run.seed is None or (step := measured.checked.get(run.model)) is None:
            continue
        of_plan = computed.train(run)
        hours.add_row(
            run.name,
            str(total_steps(settings)),
            f"{step.total:.2f}",
            f"{measured.train(run):.2f}",
            "–" if of_plan is None else f"{of_plan:.2f}",
        )
    if hours.rows:
        console.print(hours)
        console.print(
            "Hours on one GPU, with the step of each model's most expensive method; validations and start-up are "
            "estimated.\nRandom weights sample up to the limit; then a step trains on responses of 0.4 × the limit.",
            soft_wrap=True,
        )
    else:
        console.print("No rollouts were measured, so the hours of the runs are not known.")
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _parts(settings: Settings) -> list[dict[str, Any]]:
    return read_json(Layout(settings.results).gpu_check)["parts"]


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
