"""The state of the experiment: what is trained, generated, graded and written, and what every table still needs."""

import json
import math
import shutil
import time
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table

from generalthinker.config.settings import Settings
from generalthinker.paths import Layout
from generalthinker.records import RunSpec, slug
from generalthinker.reporting.cells import all_evaluations, all_runs, figure_needs, needed_evaluations
from generalthinker.reporting.questions import describe_questions
from generalthinker.reporting.tables import rows

# A training process touches its lock every 15 s; a lock that is older than this is stale.
ALIVE_SECONDS = 120.0
# Only the end of a metrics file is read: some dozens of steps, for a file of any length.
TAIL_BYTES = 32_768


@dataclass(frozen=True, slots=True)
class Progress:
    """One run: `state` is done, running, stopped or missing; `eta` in seconds; `kl` and `reward` of the last step."""

    state: str
    step: int | None = None
    steps: int | None = None
    kl: float | None = None
    reward: float | None = None
    eta: float | None = None


def status(settings: Settings) -> str:
    """Return the state of every run, evaluation, table and figure as plain text.

    It only reads files, and it does not fail on files that are incomplete, damaged or deleted meanwhile.
    """
    trained = [run for run in all_runs(settings) if run.seed is not None]
    progress = {run: run_progress(settings, run) for run in trained}
    graded = {pair: evaluation_state(settings, *pair) for pair in all_evaluations(settings)}
    out = StringIO()
    console = Console(file=out, width=max(120, shutil.get_terminal_size((140, 24)).columns), highlight=False)
    console.print(f"{settings.name} in {settings.results}")
    console.print(f"Questions: {describe_questions(settings) or 'not built yet'}")
    console.print(_runs(progress))
    console.print(_evaluations(graded))
    console.print(_displays(settings, progress, graded))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def total_steps(settings: Settings) -> int:
    """Return the optimizer steps of a full run: every prompt `group_size` times, `batch_size` completions per step."""
    training = settings.training
    completions = settings.data.train_rows * training.epochs * training.group_size
    return training.max_steps or math.ceil(completions / training.batch_size)


def run_progress(settings: Settings, run: RunSpec) -> Progress:
    """Return the progress of the training of `run`, from its adapter, its checkpoints folder and its lock."""
    layout = Layout(settings.results)
    if Path(layout.adapter(run.name)).is_dir():
        last = _last_of_history(Path(layout.history(run.name)))
        return Progress(
            "done", _int(last.get("step")), _int(last.get("step")), _float(last, "kl"), _float(last, "reward")
        )
    folder = Path(layout.run(run.name))
    alive = _age(folder / "lock") < ALIVE_SECONDS
    # Each version of a run's settings has a folder of its own; the newest belongs to the current ones.
    metrics = min(_files(folder / "checkpoints", "*/metrics.jsonl"), key=_age, default=None)
    if metrics is None:
        return Progress("running", 0, total_steps(settings)) if alive else Progress("missing")
    lines = _last_lines(metrics)
    last = lines[-1] if lines else {}
    step, steps = _int(last.get("step")) or 0, total_steps(settings)
    timing = _last_lines(metrics.with_name("timing.jsonl"))
    seconds = [value for line in timing if (value := _float(line, "seconds"))]
    eta = max(0, steps - step) * sum(seconds) / len(seconds) if alive and seconds else None
    return Progress("running" if alive else "stopped", step, steps, _float(last, "kl"), _float(last, "reward"), eta)


def evaluation_state(settings: Settings, run: RunSpec, suite: str) -> str:
    """Return graded, generated, begun (some benchmarks of the suite are finished) or missing."""
    layout = Layout(settings.results)
    responses = Path(layout.generations(run.name, slug(suite)))
    if Path(layout.grades(run.name, slug(suite))).exists():
        return "graded"
    if responses.exists():
        return "generated"
    return "begun" if _files(responses.with_name(f"{responses.stem}.parts"), "*.parquet") else "missing"


def _runs(progress: dict[RunSpec, Progress]) -> Table:
    done = sum(of_run.state == "done" for of_run in progress.values())
    table = _table(f"Training: {done} of {len(progress)} runs done", "run", "state", "step", "KL", "reward", "left")
    for run, of_run in progress.items():
        step = "" if of_run.step is None else f"{of_run.step} of {of_run.steps}"
        left = "" if of_run.eta is None else _duration(of_run.eta)
        kl, reward = _number(of_run.kl, "{:.4f}"), _number(of_run.reward, "{:.3f}")
        table.add_row(run.name, of_run.state, step, kl, reward, left)
    return table


def _evaluations(states: dict[tuple[RunSpec, str], str]) -> Table:
    suites = list(dict.fromkeys(suite for _, suite in states))
    done = sum(state == "graded" for state in states.values())
    table = _table(f"Evaluation: {done} of {len(states)} graded", "run", *suites)
    for run in dict.fromkeys(run for run, _ in states):
        shown = (states.get((run, suite), "") for suite in suites)
        table.add_row(run.name, *("–" if state == "missing" else state for state in shown))
    return table


def _displays(settings: Settings, progress: dict[RunSpec, Progress], states: dict[tuple[RunSpec, str], str]) -> Table:
    layout = Layout(settings.results)
    table = _table("Tables and figures", "name", "state", "to train", "to generate", "to grade", "rows not written")
    for name, pairs in needed_evaluations(settings).items():
        suffix = "csv" if name in settings.tables else "png"
        written = Path(layout.display(name, suffix)).exists()
        lacking = []
        histories: tuple[RunSpec, ...] = ()
        if name in settings.tables:
            lacking = [row for row in rows(settings, name) if not Path(layout.row(name, row)).exists()]
        else:
            histories = figure_needs(settings, name).histories
        needed = dict.fromkeys([*(run for run, _ in pairs), *histories])
        train = sum(run in progress and progress[run].state != "done" for run in needed)
        generate = sum(states[pair] in ("missing", "begun") for pair in pairs)
        grade = sum(states[pair] != "graded" for pair in pairs)
        ready = not (train or grade) and _datasets_written(settings, name)
        state = "written" if written and not lacking else "ready" if ready else "waiting"
        table.add_row(name, state, *(str(count or "–") for count in (train, generate, grade)), _some(lacking))
    return table


def _datasets_written(settings: Settings, name: str) -> bool:
    """Return whether the manifests that a dataset table prints exist; True for every other table and figure."""
    layout = Layout(settings.results)
    described = [b for row in rows(settings, name).values() for b in row.benchmarks] if name in settings.tables else []
    return all(Path(layout.benchmark_manifest(slug(benchmark))).exists() for benchmark in described)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, padding=(0, 1))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _last_lines(path: Path) -> list[dict[str, Any]]:
    """Return the complete JSON lines at the end of `path`; a cut first or last line is left out."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    complete = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            complete.append(value)
    return complete


def _last_of_history(path: Path) -> dict[str, Any]:
    try:
        columns = set(pq.read_schema(path).names) & {"step", "kl", "reward"}
        return pq.read_table(path, columns=sorted(columns)).to_pylist()[-1] if columns else {}
    except (OSError, ValueError, IndexError):
        return {}


def _files(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def _age(path: Path) -> float:
    """Return seconds since the file changed; infinite if it does not exist."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return math.inf


def _int(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _float(line: dict[str, Any], name: str) -> float | None:
    value = line.get(name)
    return float(value) if isinstance(value, int | float) else None


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min" if minutes else "< 1 min"


def _some(names: list[str]) -> str:
    if not names:
        return "–"
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
