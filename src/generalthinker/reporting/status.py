"""The state of the experiment on one screen: what is done, what runs, what failed and why, and what is left."""

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from io import StringIO
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from generalthinker.config.settings import Settings
from generalthinker.errors import StageError
from generalthinker.paths import Layout
from generalthinker.records import RunSpec, slug
from generalthinker.reporting.cells import Evaluation, figure_needs, needed_evaluations
from generalthinker.reporting.other_code import other_code
from generalthinker.reporting.progress import (
    STATES,
    Work,
    failed_preparations,
    progress_of_evaluations,
    progress_of_runs,
    with_history,
)
from generalthinker.reporting.questions import describe_questions
from generalthinker.reporting.queue import Queue, read_queue
from generalthinker.reporting.remaining import describe_time_left, duration, with_time_left
from generalthinker.reporting.tables import rows

MOST_ROWS = 40  # more runs than fit on a screen are counted by model and method
MOST_TOLD = 5
# Reading the code of an evaluation takes a fraction of a millisecond, on a network file system more.
MOST_EVALUATIONS_READ = 200


class StatusError(StageError, ValueError):
    """A state that there is not."""


def status(settings: Settings, only: Collection[str] = (), everything: bool = False, queue: Queue | None = None) -> str:
    """Return the state of all runs, evaluations, tables and figures as plain text.

    More than `MOST_ROWS` runs are counted by model and method, except with `everything`. `only` shows all runs and
    evaluations in these states and nothing else; it raises StatusError for an unknown state. The results are only read;
    incomplete, damaged and vanishing files, and a SLURM that does not answer, are no error.
    """
    if unknown := [state for state in only if state not in STATES]:
        raise StatusError(f"--only {','.join(unknown)}: no such state; allowed: {', '.join(STATES)}")
    only = {*only, "waiting"} if "running" in only else only  # the work itself runs in another process
    queue = read_queue() if queue is None else queue
    needed = needed_evaluations(settings)
    pairs = list(dict.fromkeys(pair for of_display in needed.values() for pair in of_display))
    histories = {figure: dict.fromkeys(figure_needs(settings, figure).histories) for figure in settings.figures}
    trained = dict.fromkeys(run for run, _ in pairs if run.seed is not None)
    for of_figure in histories.values():
        trained.update(of_figure)
    runs = with_time_left(settings, progress_of_runs(settings, list(trained), queue))
    evaluations = progress_of_evaluations(settings, pairs, queue)
    displays = _displays(settings, needed, histories, runs, evaluations)

    out = StringIO()
    console = Console(file=out, width=max(120, shutil.get_terminal_size((140, 24)).columns), highlight=False)

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    say(f"{settings.name} in {settings.results}")
    say(f"Runs: {_counted(runs.values())}")
    say(f"Evaluations: {_counted(evaluations.values())}")
    states = {kind: Counter(row[1] for row in displays if (row[0] in settings.tables) == (kind == "Tables"))
              for kind in ("Tables", "Figures")}  # fmt: skip
    say("; ".join(f"{kind}: {_joined(count)}" for kind, count in states.items()))
    if left := describe_time_left(settings, runs, evaluations):
        say(left)
    if queue.remark:
        say(f"SLURM: {queue.remark}")
    say(f"Questions: {describe_questions(settings) or 'not built yet'}")

    shown_runs = [work for work in runs.values() if not only or work.state in only]
    shown_evaluations = [work for work in evaluations.values() if not only or work.state in only]
    condensed = not only and not everything and len(runs) > MOST_ROWS
    most = MOST_TOLD if condensed else len(runs) + len(evaluations)
    if condensed:
        console.print(_by_method(runs, evaluations))
    elif shown_runs:
        shown_runs = [with_history(settings, work) if work.state == "done" else work for work in shown_runs]
        console.print(_runs(shown_runs))
    _print_sampling(say, shown_runs, most)
    _print_obstacles(say, shown_runs, most)
    if only:
        _print_evaluations(console, shown_evaluations)
    elif not condensed:
        console.print(_matrix(evaluations))
        active = [w for w in shown_evaluations if w.job or w.state in ("running", "waiting", "queued")]
        _print_evaluations(console, active)
    _print_failures(say, [*failed_preparations(settings), *shown_runs, *shown_evaluations], most)
    _print_waiting(say, [*shown_runs, *shown_evaluations], most)
    _print_other_code(say, settings, runs, evaluations, shown_runs, only)
    if not only:
        console.print(_display_table(displays))
    if condensed:
        say(f"{len(runs)} runs are counted here; --all shows each, --only failed,running those in these states.")
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _counted(works: Iterable[Work]) -> str:
    states = Counter(work.state for work in works)
    ordered = {state: states[state] for state in STATES if states[state]}
    return f"{states.total()}: {_joined(ordered)}" if ordered else "none"


def _joined(count: dict[str, int] | Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in count.items() if number) or "none"


def _runs(works: list[Work]) -> Table:
    # Only vLLM returns log-probabilities, so that without it the column would be empty.
    engine = any(work.sampling_kl is not None for work in works)
    heads = ("run", "state", "step", "KL", "reward", *(["engine KL"] if engine else []), "left", "SLURM job", "attempt")
    table = _table("Training", *heads)
    for work in works:
        step = "" if work.step is None else f"{work.step} of {work.steps}"
        left = "" if work.left is None or work.state == "done" else duration(work.left)
        left = left if work.seconds or not left else f"≈ {left}"
        kl, reward = _number(work.kl, "{:.4f}"), _number(work.reward, "{:.3f}")
        sampling = [_number(work.sampling_kl, "{:.1e}") + "!" * work.sampling_differs] if engine else []
        table.add_row(work.name, work.state, step, kl, reward, *sampling, left, work.job, str(work.attempt or ""))
    if any(work.left and not work.seconds for work in works):
        table.caption = "≈: no step of its own yet; as long per step as runs of its model, else as plan estimates"
        table.caption_justify, table.caption_style = "left", ""
    return table


def _matrix(evaluations: dict[Evaluation, Work]) -> Table:
    suites = list(dict.fromkeys(suite for _, suite in evaluations))
    table = _table("Evaluation", "run", *suites)
    by_run: dict[RunSpec, dict[str, Work]] = {}
    for (run, suite), work in evaluations.items():
        by_run.setdefault(run, {})[suite] = work
    for run, of_run in by_run.items():
        table.add_row(run.name, *(_cell(of_run.get(suite)) for suite in suites))
    return table


def _cell(work: Work | None) -> str:
    if work is None:
        return ""
    return {"done": "graded", "missing": work.detail or "–"}.get(work.state, work.state)


def _print_evaluations(console: Console, works: list[Work]) -> None:
    if not works:
        return
    table = _table("Evaluations", "run and suite", "state", "SLURM job", "attempt", "detail")
    for work in works:
        table.add_row(work.name, work.state, work.job, str(work.attempt or ""), work.detail)
    console.print(table)


def _by_method(runs: dict[RunSpec, Work], evaluations: dict[Evaluation, Work]) -> Table:
    """Return the counts of states by model and method, or by model where even these are too many."""
    keys = dict.fromkeys((run.model, run.method) for run in [*runs, *(run for run, _ in evaluations)])
    detailed = len(keys) <= MOST_ROWS // 2
    groups: dict[str, tuple[list[Work], list[Work]]] = {}

    def group(run: RunSpec) -> tuple[list[Work], list[Work]]:
        return groups.setdefault(f"{run.model} {run.method}" if detailed else run.model, ([], []))

    for run, work in runs.items():
        group(run)[0].append(work)
    for (run, _), work in evaluations.items():
        group(run)[1].append(work)
    heading = "model and method" if detailed else "model"
    table = _table("By model" + (" and method" if detailed else ""), heading, "runs", "evaluations", "longest left")
    for name, (of_runs, of_evaluations) in groups.items():
        left = max((work.left or 0.0 for work in of_runs), default=0.0)
        table.add_row(name, _counted(of_runs), _counted(of_evaluations), duration(left) if left else "")
    return table


def _print_failures(say: Callable[[str], None], works: list[Work], most: int) -> None:
    """Name what failed, or failed before and is queued again, with the error and the log."""
    failed = [work for work in works if work.error and work.state in ("failed", "stopped", "queued")]
    failed.sort(key=lambda work: work.state != "failed")
    lines = []
    for work in failed:
        attempt = f", attempt {work.attempt}" if work.attempt else ""
        job = f", SLURM job {work.job}" if work.job else ""
        lines.append(f"  {work.name} ({work.state}{attempt}{job}): {work.error}\n    {work.log}")
    _print_first(say, "\nFailed or interrupted:", lines, most, "--only failed,stopped,queued")


def _print_sampling(say: Callable[[str], None], works: list[Work], most: int) -> None:
    """Name the runs whose rollouts are not sampled from the policy that is trained."""
    lines = [
        f"  {work.name}: KL {work.sampling_kl:.1e} nats per token at step {work.step}"
        for work in works
        if work.sampling_differs
    ]
    heading = "\nThe rollout engine differs from the trainer by more than rounding (docs/method.md, Colocated vLLM):"
    _print_first(say, heading, lines, most, "--all")


def _print_obstacles(say: Callable[[str], None], works: list[Work], most: int) -> None:
    """Name the runs whose responses give nothing to learn from, and what to change."""
    lines = [f"  {work.name}: {obstacle}" for work in works for obstacle in work.obstacles]
    _print_first(say, "\nNothing to learn from:", lines, most, "--all")


def _print_waiting(say: Callable[[str], None], works: list[Work], most: int) -> None:
    lines = [f"  {work.name}: {work.detail}" for work in works if work.state == "waiting"]
    _print_first(say, "\nWaiting for another process:", lines, most, "--only waiting")


def _print_first(say: Callable[[str], None], heading: str, lines: list[str], most: int, option: str) -> None:
    """Print the first `most` of `lines`, if there are any, and which `option` shows the others."""
    if not lines:
        return
    say(heading)
    for line in lines[:most]:
        say(line)
    if len(lines) > most:
        say(f"  and {len(lines) - most} more: {option}")


def _print_other_code(
    say: Callable[[str], None],
    settings: Settings,
    runs: dict[RunSpec, Work],
    evaluations: dict[Evaluation, Work],
    shown: list[Work],
    only: Collection[str],
) -> None:
    """Name the results that other code made, those with the same difference together."""
    sentences = [work.other_code for work in (shown if only else runs.values()) if work.other_code]
    graded = [pair for pair, work in evaluations.items() if work.state == "done" or work.detail]
    graded = graded if not only else [pair for pair in graded if evaluations[pair].state in only]
    unread = len(graded) > MOST_EVALUATIONS_READ
    for run, suite in [] if unread else graded:
        try:
            own = other_code(settings, run, suite)
        except (OSError, ValueError):
            continue
        sentences += [sentence for sentence in own if sentence.startswith(f"{run.name} on {suite}: ")]
    differences: dict[str, list[str]] = {}
    for sentence in dict.fromkeys(sentences):
        name, _, difference = sentence.partition(": ")
        differences.setdefault(difference, []).append(name)
    if differences:
        say("\nMade by other code:")
        for difference, names in differences.items():
            say(f"  {_some(names)}: {difference}")
        if unread:
            say(f"  The code of more than {MOST_EVALUATIONS_READ} evaluations is not looked at here; tables name it.")


def _displays(
    settings: Settings,
    needed: dict[str, list[Evaluation]],
    histories: dict[str, dict[RunSpec, None]],
    runs: dict[RunSpec, Work],
    evaluations: dict[Evaluation, Work],
) -> list[tuple[str, ...]]:
    """Return, per table and figure: name, state, and what it lacks."""
    layout = Layout(settings.results)
    shown = []
    for name, pairs in needed.items():
        is_table = name in settings.tables
        written = Path(layout.display(name, "csv" if is_table else "png")).exists()
        lacking, described = [], []
        if is_table:
            table_rows = rows(settings, name)
            lacking = [row for row in table_rows if not Path(layout.row(name, row)).exists()]
            described = [benchmark for row in table_rows.values() for benchmark in row.benchmarks]
        of_display = dict.fromkeys([*(run for run, _ in pairs), *histories.get(name, {})])
        train = sum(run in runs and runs[run].state != "done" for run in of_display)
        open_pairs = [evaluations[pair] for pair in pairs if evaluations[pair].state != "done"]
        generate = sum(not work.detail.startswith("generated") for work in open_pairs)
        manifests = all(Path(layout.benchmark_manifest(slug(benchmark))).exists() for benchmark in described)
        ready = not train and not open_pairs and manifests
        state = "written" if written and not lacking else "ready" if ready else "waiting"
        counts = (str(count or "–") for count in (train, generate, len(open_pairs)))
        shown.append((name, state, *counts, _some(lacking) if lacking else "–"))
    return shown


def _display_table(displays: list[tuple[str, ...]]) -> Table:
    table = _table("Tables and figures", "name", "state", "to train", "to generate", "to grade", "rows not written")
    for row in displays:
        table.add_row(*row)
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, padding=(0, 1))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _number(value: float | None, template: str) -> str:
    return "" if value is None else template.format(value)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
