"""A training that is stopped at any place and started again writes the same bytes as an uninterrupted one."""

import signal
from pathlib import Path

import pytest

from interruption import STEPS, Stop

pytestmark = pytest.mark.slow
PLACES = [
    Stop("rollout", 1),
    Stop("metrics", 2),
    Stop("checkpoint", 2),
    Stop("mark", 4),
    Stop("scoring", 3),
    Stop("update", 5),
    Stop("validation", 6),
    Stop("record", STEPS),
]


def test_a_run_killed_in_every_phase_has_the_results_of_an_uninterrupted_one(experiment, uninterrupted):
    for stop in PLACES:
        assert experiment.train(stop) == -signal.SIGKILL, (stop, experiment.log)
        assert not Path(experiment.layout.adapter(experiment.run.name)).exists()
    assert experiment.train() == 0, experiment.log
    assert experiment.results == uninterrupted.results
    assert experiment.record["resumed_from_step"] == STEPS
    assert experiment.log.count("is not used: it was not finished") == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_terminated_run_saves_a_checkpoint_fails_and_continues(experiment, uninterrupted, number):
    assert experiment.train(Stop("scoring", 5, number)) == 1
    assert f"{number.name} at step 5; a checkpoint is in" in experiment.log
    assert [path.name for path in experiment.checkpoints()][-2:] == ["checkpoint-4", "checkpoint-5"]
    assert not Path(experiment.layout.history(experiment.run.name)).exists()
    assert experiment.train() == 0, experiment.log
    assert experiment.record["resumed_from_step"] == 5
    assert experiment.results == uninterrupted.results


def test_a_second_ctrl_c_stops_at_once_and_the_run_continues_from_the_checkpoint_before(experiment, uninterrupted):
    assert experiment.train(Stop("scoring", 5, signal.SIGINT, times=2)) == 1
    assert "stopped at once by a second Ctrl-C" in experiment.log
    assert [path.name for path in experiment.checkpoints()][-1] == "checkpoint-4"
    assert experiment.train() == 0, experiment.log
    assert experiment.record["resumed_from_step"] == 4
    assert experiment.results == uninterrupted.results


def test_the_record_keeps_every_start_of_a_run(experiment):
    assert experiment.train(Stop("scoring", 3, signal.SIGTERM)) == 1
    assert experiment.train(Stop("update", 6)) == -signal.SIGKILL
    assert experiment.train() == 0, experiment.log
    sessions = experiment.record["sessions"]
    assert [session["from_step"] for session in sessions] == [0, 3, 4]
    assert all(session["processes"] == 1 and session["hardware"]["cores"] for session in sessions)
    assert all(session["started"] and session["commit"] for session in sessions)


def test_a_damaged_newest_checkpoint_is_reported_and_the_one_before_is_used(experiment, uninterrupted):
    assert experiment.train(Stop("update", 7)) == -signal.SIGKILL
    *_, before, newest = experiment.checkpoints()
    weights = newest / "adapter_model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    assert experiment.train() == 0, experiment.log
    assert f"{newest} is not used: adapter_model.safetensors has changed" in experiment.log
    assert experiment.record["resumed_from_step"] == int(before.name.rpartition("-")[2]) == 4
    assert experiment.results == uninterrupted.results
