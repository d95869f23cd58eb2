"""What rivals and controls remember or draw survives kills, and two processes give what one gives."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import tiny
from generalthinker.config.load import freeze
from generalthinker.files import read_parquet
from generalthinker.paths import Layout
from interruption import Stop, train_to_the_end
from recorded_training import key

pytestmark = pytest.mark.thorough
METHODS = {
    "RLPR": {"family": "rlpr", "form": "own", "filter_strength": 1.0},
    "NOVER": {"family": "nover", "form": "own", "update_rate": 0.5, "update_every": 2},
    "Shuffled": {"family": "modulation_control", "change": "shuffled"},
}
STEPS = {"RLPR": 12, "NOVER": 5, "Shuffled": 3}
STOPS = {
    "RLPR": [Stop("update", 9), Stop("mark", 10), Stop("update", 12)],
    "NOVER": [Stop("update", 4), Stop("mark", 4)],
    "Shuffled": [Stop("update", 3)],
}


def prepared(folder, model, name, **training):
    """Return the settings, frozen, the run's name and the places of its results."""
    folder.mkdir()
    settings = tiny.settings(folder, model, methods={name: METHODS[name]}, learning_rate=1e-3, **training)
    [run] = settings.runs(tiny.choice(name))
    return freeze(settings), run.name, Layout(settings.results)


@pytest.mark.parametrize("name", METHODS)
def test_a_killed_run_ends_with_the_bytes_of_an_uninterrupted_one(tmp_path, tiny_model, name):
    results = []
    for folder, stops in (("straight", []), ("killed", STOPS[name])):
        training = {"max_steps": STEPS[name], "save_every": 2, "max_completion_tokens": 40, "batch_size": 8}
        frozen, run, layout = prepared(tmp_path / folder, tiny_model, name, **training)
        for stop in stops:
            assert train_to_the_end(frozen, run, stop) < 0, Path(f"{frozen}.log").read_text()
        assert train_to_the_end(frozen, run) == 0, Path(f"{frozen}.log").read_text()
        weights = Path(layout.adapter(run)) / "adapter_model.safetensors"
        results.append((weights.read_bytes(), Path(layout.history(run)).read_bytes()))
        history = read_parquet(layout.history(run))[0]
        assert (history["grad_norm"] > 0).sum() > 1
        if name == "RLPR":
            assert not history["rlpr/left_out"][:10].any()
            assert 0 < history["rlpr/left_out"][10:].mean() < 1
    assert results[0] == results[1]


def test_two_processes_give_the_advantages_of_one(tmp_path, tiny_model):
    script, record = Path(__file__).with_name("recorded_training.py"), tmp_path / "1.json"
    changes = {name: {"family": "modulation_control", "change": name} for name in ("gate", "random")}
    methods = {"RLPR": METHODS["RLPR"], **changes, **{name: {"family": name} for name in ("nover", "jepo", "latro")}}
    # Groups of four do not divide into whole ones per process.
    small = {"batch_size": 12, "micro_batch_size": 6, "max_steps": 2, "learning_rate": 1e-3}
    reports = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        settings = tiny.settings(folder, tiny_model, methods=methods, max_completion_tokens=40, **small)
        runs = [run.name for name in methods for run in settings.runs(tiny.choice(name))]
        report = tmp_path / f"{processes}.json"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        arguments = [script, freeze(settings), ",".join(runs), report, *[record] * (processes > 1)]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        rows = {key(row): row["advantages"] for row in json.loads(report.read_text())}
        logs = [read_parquet(Layout(settings.results).history(run))[0][["loss", "reward"]].to_numpy() for run in runs]
        reports.append((rows, logs))
    (one, logs), (two, others) = reports
    assert one.keys() == two.keys()
    for place, advantages in one.items():
        assert two[place] == pytest.approx(advantages, rel=1e-4, abs=1e-4)
    for run in runs:
        assert len({json.dumps(row) for place, row in one.items() if place[0] == run}) > 2, run
    for log, other in zip(logs, others, strict=True):
        assert other == pytest.approx(log, rel=1e-3, abs=1e-4)
