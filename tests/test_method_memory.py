"""What a method remembers survives kills, and on two processes a method sees the same groups as on one."""

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
from sample_methods import sample_run

pytestmark = pytest.mark.slow


def test_what_a_method_remembers_survives_kills(tmp_path, tiny_model):
    results = []
    for name, places in (("straight", []), ("killed", [Stop("update", 4), Stop("mark", 4), Stop("update", 6)])):
        settings, run = sample_run(
            tmp_path / name, tiny_model, "Group rank", max_steps=7, save_every=2, learning_rate=1e-3
        )
        frozen, layout = freeze(tiny.settings(tmp_path / name, tiny_model, **_kept(settings))), Layout(settings.results)
        for place in places:
            assert train_to_the_end(frozen, run.name, place) < 0, Path(f"{frozen}.log").read_text()
        assert train_to_the_end(frozen, run.name) == 0, Path(f"{frozen}.log").read_text()
        history = Path(layout.history(run.name))
        weights = Path(layout.adapter(run.name)) / "adapter_model.safetensors"
        results.append((weights.read_bytes(), history.read_bytes()))
        skipped = read_parquet(history)[0]["group_rank/skipped"]
        assert skipped.iloc[0] == 0, "nothing is usual yet"
        assert 0 < skipped.mean() < 1
    assert results[0] == results[1]


def _kept(settings) -> dict:
    return {name: getattr(settings.training, name) for name in ("max_steps", "save_every", "learning_rate")}


def test_two_processes_see_the_groups_that_one_sees(tmp_path, tiny_model):
    script, record = Path(__file__).with_name("recorded_training.py"), tmp_path / "1.json"
    reports = []
    for processes in (1, 2):
        small = {"batch_size": 12, "micro_batch_size": 6, "learning_rate": 1e-3, "max_steps": 3}
        settings, run = sample_run(tmp_path / str(processes), tiny_model, "Group rank", **small)
        frozen = freeze(tiny.settings(tmp_path / str(processes), tiny_model, **small))
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        report = tmp_path / f"{processes}.json"
        arguments = [str(script), str(frozen), run.name, str(report), *([str(record)] if processes > 1 else [])]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        rows = {key(row): row for row in json.loads(report.read_text())}
        skipped = read_parquet(Layout(settings.results).history(run.name))[0]["group_rank/skipped"]
        reports.append((rows, skipped.tolist()))
    (one, skipped), (two, others) = reports
    assert one.keys() == two.keys()
    for place, row in one.items():
        assert two[place]["advantages"] == pytest.approx(row["advantages"], abs=1e-6)
    assert skipped == pytest.approx(others)
    assert len({json.dumps(row["advantages"]) for row in one.values()}) > 2
