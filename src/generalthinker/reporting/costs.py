"""What a training step of each run cost: seconds with and without sampling, and the most memory of the training."""

import statistics
from pathlib import Path

from generalthinker.config.settings import Settings
from generalthinker.files import read_columns, read_json
from generalthinker.paths import Layout
from generalthinker.records import RunSpec
from generalthinker.reporting.measure import IncompleteResultsError

COLUMNS = ("step_seconds", "step_seconds_without_sampling", "peak_memory_gib")


def costs(settings: Settings, runs: tuple[RunSpec, ...]) -> dict[str, str]:
    """Return the seconds of a step (median over the steps of all seeds, but each training's first) and the GiB.

    The values are empty without `runs`. Memory is the GPU's, or the machine's where the training had none. Raises
    IncompleteResultsError if a training has not finished.
    """
    steps, later, memory = [], [], []
    for run in runs:
        layout = Layout(settings.results)
        timing, record = Path(layout.timing(run.name)), Path(layout.run_record(run.name))
        for path in (timing, record):
            if not path.exists():
                raise IncompleteResultsError(f"{path}: no such file; run `snakemake {path}` first")
        columns, _ = read_columns(timing, ["seconds", "rollout_seconds"])
        pairs = list(zip(columns["seconds"], columns["rollout_seconds"], strict=True))
        steps += [seconds for seconds, _ in pairs[1:] or pairs]
        later += [seconds - sampling for seconds, sampling in pairs[1:] or pairs]
        memory.append(read_json(record).get("peak_memory_gib"))
    if not steps:
        return dict.fromkeys(COLUMNS, "")
    known = [gib for gib in memory if gib is not None]
    values = (statistics.median(steps), statistics.median(later), max(known) if known else None)
    return {name: "" if value is None else f"{value:.4g}" for name, value in zip(COLUMNS, values, strict=True)}
