"""What `generalthinker status` costs for a large sweep: seconds for 900 made-up runs in every state, 5,400 evaluations.

Two thirds of the runs are finished, the others run, have failed, have stopped or are missing. SLURM is not asked.

    python benchmarks/status_speed.py [--seeds 100]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml

from generalthinker.config.load import load
from generalthinker.files import write_json, write_parquet
from generalthinker.paths import Layout
from generalthinker.reporting.cells import all_evaluations, all_runs

CONFIG = Path(__file__).parent.parent / "config/config.yaml"


def write_sweep(folder: Path, seeds: int) -> Path:
    """Write the settings of a sweep with nine runs per seed, and its results; return the settings' file."""
    method = {"model": "qwen2.5-1.5b", "method": "GeneralThinker"}
    strengths = [round(0.05 * number, 2) for number in range(1, 10)]
    table = {"kind": "averages", "title": "β", "groups": ["General", "Math & STEM"]}
    table["sweep"] = {"run": method, "modulation_strength": strengths}
    content = yaml.safe_load(CONFIG.read_text())
    content |= {
        "results": str(folder / "results"),
        "seeds": [*range(1, seeds + 1)],
        "tables": {"sweep": table},
        "figures": {},
    }
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(content))
    write_results(path)
    return path


def write_results(settings_file: Path) -> None:
    """Write small files where status looks."""
    settings = load([settings_file])
    layout = Layout(settings.results)
    history = pd.DataFrame({"step": range(1, 41), "kl": 0.1, "reward": -1.0})
    for number, run in enumerate(all_runs(settings)):
        folder, log = Path(layout.run(run.name)), Path(layout.log("train", run.name))
        log.parent.mkdir(parents=True, exist_ok=True)
        if number % 6 < 4:
            Path(layout.adapter(run.name)).mkdir(parents=True)
            write_parquet(layout.history(run.name), history)
            record = {"steps": 40, "training_seconds": 400.0, "code": {"training": "0"}}
            write_json(layout.run_record(run.name), record)
            log.write_text("12:00:00 generalthinker.training.run: finished\n")
        elif number % 6 == 4:
            checkpoints = folder / "checkpoints" / "0123"
            checkpoints.mkdir(parents=True)
            (checkpoints / "metrics.jsonl").write_text('{"step": 7, "kl": 0.1, "reward": -1.0}\n' * 200)
            (checkpoints / "timing.jsonl").write_text('{"step": 7, "seconds": 10.0}\n' * 200)
            if number % 12 == 4:
                (folder / "lock").write_text(json.dumps({"host": "node1", "pid": 1}))
            log.write_text("Traceback (most recent call last):\ntorch.OutOfMemoryError: CUDA out of memory.\n")
    finished = Path(settings.results, "finished.parquet")
    write_parquet(finished, history)
    for run, suite in all_evaluations(settings):
        if Path(layout.adapter(run.name)).exists():
            for path in (layout.generations(run.name, suite), layout.grades(run.name, suite)):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Path(path).hardlink_to(finished)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--brief", action="store_true", help="18 runs instead of 900, for a test")
    arguments = parser.parse_args()
    seeds = 2 if arguments.brief else arguments.seeds
    with tempfile.TemporaryDirectory() as folder:
        settings = write_sweep(Path(folder), seeds)
        command = [sys.executable, "-m", "generalthinker.cli", "status", "--settings", str(settings)]
        times = []
        for _ in range(3):
            start = time.perf_counter()
            text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            times.append(time.perf_counter() - start)
    print(text)
    print(f"{min(times):.2f} s (best of 3), {len(text.splitlines())} lines for {9 * seeds} runs")


if __name__ == "__main__":
    main()
