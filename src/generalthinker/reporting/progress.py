"""How far each training and each evaluation is: from the files, their locks, their logs, and SLURM's queue."""

import math
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from generalthinker.code_versions import code_of_run, differences
from generalthinker.config.settings import Settings
from generalthinker.files import read_json
from generalthinker.lock import holder, waiting
from generalthinker.metrics import SIGNAL_STEPS_LATEST, more_than_noise, nothing_to_learn
from generalthinker.paths import Layout
from generalthinker.records import RunSpec, slug
from generalthinker.reporting.cells import Evaluation
from generalthinker.reporting.estimate import total_steps
from generalthinker.reporting.joblogs import attempts, ending
from generalthinker.reporting.measured import first_line, last_lines, newest_checkpoints, read_record, step_seconds
from generalthinker.reporting.other_code import other_model_code, other_training_code
from generalthinker.reporting.queue import FAILED, LOGS, RUNNING, STOPPED, Queue

HISTORY_COLUMNS = {"step", "kl", "reward", "zero_std_share", "truncated_share", "boxed_share", "sampling/kl"}
# `waiting` runs, too: its work is being done by the process whose lock it waits for.
STATES = ("done", "running", "waiting", "queued", "failed", "stopped", "missing")


@dataclass(frozen=True, slots=True)
class Work:
    """One training or evaluation. `seconds` are those of one step, `left` those to its end.

    `error` is the line that tells what failed, `log` the file to read; `other_code` says how the code that made it
    differs from this clone's. `sampling_kl` is the KL between rollout engine and trainer in the latest step (nats per
    token; vLLM only), and `sampling_differs` whether rounding does not explain it. `obstacles` say why the training
    learns nothing.
    """

    name: str
    model: str
    method: str
    state: str
    detail: str = ""
    job: str = ""
    attempt: int = 0
    error: str = ""
    log: str = ""
    step: int | None = None
    steps: int | None = None
    kl: float | None = None
    reward: float | None = None
    sampling_kl: float | None = None
    sampling_differs: bool = False
    obstacles: tuple[str, ...] = ()
    seconds: float | None = None
    left: float | None = None
    other_code: str = ""


def progress_of_runs(settings: Settings, runs: Sequence[RunSpec], queue: Queue) -> dict[RunSpec, Work]:
    """Return the progress of the training of each run. It does not fail on files that are damaged or vanish."""
    logs = _names(f"{settings.results}/logs/train")
    return {run: _progress_of_run(settings, run, queue, f"{run.name}.log" in logs) for run in runs}


def _progress_of_run(settings: Settings, run: RunSpec, queue: Queue, has_log: bool) -> Work:
    layout, name = Layout(settings.results), run.name
    work = Work(name, run.model, run.method, "missing", log=layout.log("train", name))
    if Path(layout.adapter(name)).is_dir():
        record = read_record(settings, run)
        steps, seconds = _int(record.get("steps")), record.get("training_seconds")
        made = replace(work, state="done", step=steps, steps=steps, other_code=_other_code(settings, run))
        return replace(made, seconds=seconds / steps) if steps and isinstance(seconds, int | float) else made
    folder = newest_checkpoints(settings, run)
    work = replace(work, steps=total_steps(settings))
    work = _judged(work, queue, "train", (name,), Path(layout.run(name)), has_log, folder is not None)
    if folder is None:
        return work
    lines = last_lines(folder / "metrics.jsonl")
    last = lines[-1] if lines else {}
    step, steps = _int(last.get("step")) or 0, work.steps or 0
    seconds = step_seconds(last_lines(folder / "timing.jsonl"))
    return replace(
        _with_sampling(work, last, lambda: first_line(folder / "metrics.jsonl")),
        step=step,
        kl=_float(last, "kl"),
        reward=_float(last, "reward"),
        obstacles=tuple(nothing_to_learn(lines[-SIGNAL_STEPS_LATEST:])),
        seconds=seconds,
        left=max(0, steps - step) * seconds if seconds else None,
        attempt=max(work.attempt, _sessions(folder)),
        other_code=_begun_by_other_code(settings, run, folder),
    )


def with_history(settings: Settings, work: Work) -> Work:
    """Return a finished training with what its history shows, which takes a millisecond to read."""
    rows = history_rows(settings, work.name)
    if not rows:
        return work
    step, last = _int(rows[-1].get("step")), rows[-1]
    work = replace(work, step=step, steps=step, kl=_float(last, "kl"), reward=_float(last, "reward"))
    return replace(_with_sampling(work, last, lambda: rows[0]), obstacles=tuple(nothing_to_learn(rows)))


def history_rows(settings: Settings, run: str) -> list[dict[str, Any]]:
    """Return HISTORY_COLUMNS of a finished training's history; empty if it cannot be read."""
    import pyarrow.parquet as pq

    try:
        # pq.read_table would import pandas, which takes longer than everything else here.
        with pq.ParquetFile(Layout(settings.results).history(run)) as file:
            columns = set(file.schema_arrow.names) & HISTORY_COLUMNS
            return file.read(columns=sorted(columns)).to_pylist() if columns else []
    except (OSError, ValueError):
        return []


def _with_sampling(work: Work, last: dict[str, Any], first: Callable[[], dict[str, Any]]) -> Work:
    """Return `work` with the KL of the rollout engine in `last`, the history's last row, compared with the first."""
    kl = _float(last, "sampling/kl")
    if kl is None:
        return work
    return replace(work, sampling_kl=kl, sampling_differs=more_than_noise(kl, _float(first(), "sampling/kl")))


def progress_of_evaluations(settings: Settings, pairs: Sequence[Evaluation], queue: Queue) -> dict[Evaluation, Work]:
    """Return the progress of each evaluation: `done` is graded."""
    layout = Layout(settings.results)
    graded, generated = _names(f"{settings.results}/grades"), _names(f"{settings.results}/generations")
    logs = {rule: _names(f"{settings.results}/logs/{rule}") for rule in ("generate", "grade")}
    states = {}
    names: dict[RunSpec, str] = {}
    for run, suite in pairs:
        label = names.setdefault(run, run.name)
        place = f"{label}/{slug(suite)}"
        rule = "grade" if f"{place}.parquet" in generated else "generate"
        work = Work(f"{label} on {suite}", run.model, run.method, "missing")
        if f"{place}.parquet" in graded:
            states[run, suite] = replace(work, state="done")
            continue
        lock = Path(layout.lock("generations", place)) if rule == "generate" else None
        work = replace(work, log=layout.log(rule, place), detail="generated, to grade" if rule == "grade" else "")
        work = _judged(work, queue, rule, (label, slug(suite)), lock, f"{place}.log" in logs[rule], False)
        # Grading has no lock, so a log without an error does not tell whether it still runs.
        silent = rule == "grade" and work.state == "stopped" and not work.error
        states[run, suite] = replace(work, state="missing") if silent else work
    return states


def failed_preparations(settings: Settings) -> list[Work]:
    """Return the questions and models that could not be made, as far as the logs tell; others wait for them."""
    layout = Layout(settings.results)
    made = [("mixture", "log", layout.train)]
    made += [("benchmark", slug(name), layout.benchmark(slug(name))) for name in settings.benchmarks]
    made += [("download", slug(name), layout.model(slug(name))) for name in settings.models_of_kind("hub")]
    made += [("fetch", slug(name), layout.package(slug(name))) for name in settings.models_of_kind("package")]
    made += [("pretrain", slug(name), layout.model(slug(name))) for name in settings.built_models]
    failed = []
    for rule, name, output in made:
        log = Path(layout.log(rule, name))
        if not Path(output).exists() and (end := ending(log)) and end.error and not end.signalled:
            label = rule if name == "log" else f"{rule} {name}"
            failed.append(Work(label, "", "", "failed", error=end.error, log=str(log)))
    return failed


def _judged(
    work: Work, queue: Queue, rule: str, wildcards: tuple[str, ...], lock: Path | None, has_log: bool, begun: bool
) -> Work:
    """Return `work`, whose output does not exist, with its state, job, attempt and error."""
    jobs = queue.of(rule, *wildcards)
    live = [job for job in jobs if job.live]
    owner = holder(lock) if lock else None
    end = ending(Path(work.log)) if has_log else None
    if not (jobs or owner is not None or end or begun):
        return work
    numbers = queue.numbers(rule, *wildcards)
    work = replace(work, attempt=max(len(numbers), attempts(Path(work.log))), error=end.error if end else "")
    if live:
        reason = f" ({live[-1].reason})" if live[-1].reason not in ("", "None", "(null)") else ""
        work = replace(work, job=f"{live[-1].number} {live[-1].state.lower()}{reason}")
    elif jobs or (owner or {}).get("slurm_job"):
        work = replace(work, job=f"{jobs[-1].number} {jobs[-1].state.lower()}" if jobs else str(owner["slurm_job"]))  # type: ignore[index]
    if not has_log and numbers:
        newest = max(numbers, key=lambda number: (len(number), number))
        log = LOGS / f"rule_{rule}" / "_".join(wildcards).replace("/", "_") / f"{newest}.log"
        work = replace(work, log=str(log) if log.exists() else work.log)
    if owner is not None:
        waiters = [other for other in waiting(lock) if _waits(other, queue)] if lock else []
        if waiters:
            return replace(
                work, state="waiting", detail=f"{_process(waiters[0])} waits for {_process(owner)}", error=""
            )
        return replace(work, state="running", error="")
    if live:
        return replace(work, state="running" if live[-1].state in RUNNING else "queued")
    if end and end.error:
        return replace(work, state="stopped" if end.signalled else "failed")
    if jobs and jobs[-1].state in FAILED:
        return replace(work, state="failed", error=f"SLURM says {jobs[-1].state.lower()}, its log nothing")
    if jobs and jobs[-1].state in STOPPED:
        return replace(work, state="stopped")
    return replace(work, state="stopped" if end or begun else work.state)


def _waits(owner: dict[str, Any], queue: Queue) -> bool:
    """Return whether a process that is said to wait is alive: it was looked up on this host, SLURM knows others."""
    return owner.get("host") == socket.gethostname() or queue.is_live(owner.get("slurm_job"))


def _process(owner: dict[str, Any]) -> str:
    job = owner.get("slurm_job")
    name = f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"
    return f"SLURM job {job} ({name})" if job else name


def _other_code(settings: Settings, run: RunSpec) -> str:
    try:
        sentences = (other_model_code(settings, run.model), other_training_code(settings, run))
        return "; ".join(sentence for sentence in sentences if sentence)
    except (OSError, ValueError, KeyError):
        return ""


def _begun_by_other_code(settings: Settings, run: RunSpec, folder: Path) -> str:
    try:
        begun = read_json(folder / "identity.json")["code"]
        difference = differences(begun, code_of_run(settings.method(run)))
    except (OSError, ValueError, KeyError, AttributeError):
        return ""
    return f"{run.name}, begun: {difference}" if difference else ""


def _sessions(folder: Path) -> int:
    """Return how often this training was started."""
    try:
        return len(read_json(folder / "sessions.json"))
    except (OSError, ValueError, TypeError):
        return 0


def _names(root: str) -> set[str]:
    """Return the files below `root`, relative to it: one look per folder is faster than one per file."""
    return {
        f"{place[len(root) + 1 :]}/{name}" if place != root else name
        for place, _, names in os.walk(root)
        for name in names
    }


def _int(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _float(line: dict[str, Any], name: str) -> float | None:
    value = line.get(name)
    return float(value) if isinstance(value, int | float) else None
