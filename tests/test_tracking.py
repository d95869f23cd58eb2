"""TensorBoard and Trackio at a real training that is stopped and continued; skipped where `make trackers` has not run.

In an environment with both: `pytest tests/test_tracking.py`.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tiny
from generalthinker.files import read_parquet
from interruption import STEPS, Experiment, Stop

pytestmark = pytest.mark.slow


def history(experiment: Experiment) -> dict[int, float]:
    """Return the reward of every step."""
    frame, _ = read_parquet(experiment.layout.history(experiment.run.name))
    return dict(zip(frame["step"], frame["reward"], strict=True))


def test_tensorboard_shows_every_step_of_a_killed_and_continued_run_once(tmp_path, tiny_model, uninterrupted):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: make trackers")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    experiment = Experiment(tmp_path, tiny_model, report_to="tensorboard")
    assert experiment.train(Stop("update", 6)) == -signal.SIGKILL
    assert experiment.train() == 0, experiment.log
    assert experiment.record["resumed_from_step"] == 4
    assert experiment.results == uninterrupted.results
    files = [*Path(experiment.layout.tracking("tensorboard")).rglob("events.*")]
    assert len(files) == 2
    assert len({file.parent for file in files}) == 1
    assert files[0].parent.name.startswith(experiment.run.name.partition("/")[2])
    shown = EventAccumulator(str(files[0].parent)).Reload()
    rewards = {event.step: event.value for event in shown.Scalars("train/reward")}
    assert [event.step for event in shown.Scalars("train/reward")] == list(range(1, STEPS + 1))
    assert rewards == pytest.approx(history(experiment), rel=1e-6)
    assert {"train/kl", "train/modulation/clip_ratio", "eval/accuracy"} <= set(shown.Tags()["scalars"])


def test_trackio_holds_one_run_of_a_stopped_and_continued_training(tmp_path, tiny_model):
    pytest.importorskip("trackio", reason="trackio is not installed: make trackers")
    experiment = Experiment(tmp_path, tiny_model, report_to="trackio")
    train = [sys.executable, "-m", "generalthinker.cli", "train", experiment.run.name]
    train += ["--settings", str(experiment.settings)]
    with subprocess.Popen(train, stderr=subprocess.PIPE, text=True, env=tiny.environment()) as started:
        for line in started.stderr:
            if f"step 3 of {STEPS}" in line:
                started.send_signal(signal.SIGTERM)
    assert started.returncode == 1
    subprocess.run(train, check=True, env=tiny.environment())
    folder = Path(experiment.layout.tracking("trackio"))
    [name] = asked(folder, "list", "runs", "--project", "demo")["runs"]
    assert name.startswith(f"{experiment.run.name}_")
    steps, rewards = (
        [one["value"] for one in asked(folder, "get", "metric", "--project", "demo", "--run", name, "--metric", metric)]
        for metric in ("train/global_step", "train/reward")
    )
    assert sorted(set(steps)) == list(range(1, STEPS + 1))
    assert rewards == pytest.approx(list(history(experiment).values()), rel=1e-6)


def asked(folder: Path, *question: str):
    """Return what the command `trackio` answers about the databases in `folder`."""
    command = [str(Path(sys.executable).with_name("trackio")), *question, "--json"]
    done = subprocess.run(command, env=tiny.environment(TRACKIO_DIR=str(folder)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    return answer.get("values", answer)
