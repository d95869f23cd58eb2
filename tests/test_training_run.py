"""Whole training runs: what they write, and that killing them at any moment changes nothing of it."""

import dataclasses
import random
import signal
import time
from pathlib import Path

import pytest
from trl import GRPOConfig

import tiny
from generalthinker.config.load import freeze, load_frozen
from generalthinker.config.training import TrainingSettings
from generalthinker.files import read_json, read_parquet
from generalthinker.metrics import COMMON
from generalthinker.paths import Layout
from generalthinker.training import run as running
from generalthinker.training.launcher import split_batch
from interruption import Stop, start, train_to_the_end

pytestmark = pytest.mark.slow
STEPS = 8
RANDOM_KILLS = 20
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


class Experiment:
    """A folder with settings of one GeneralThinker run and where its results lie."""

    def __init__(self, folder, model, **training):
        shrunk = {"max_steps": STEPS, "save_every": 2, "validate_every": 3, "learning_rate": 1e-3} | training
        settings = tiny.settings(folder, model, **shrunk)
        self.layout = Layout(settings.results)
        self.run = settings.runs(tiny.choice("GeneralThinker"))[0]
        self.settings = freeze(settings)

    @property
    def results(self) -> tuple[bytes, bytes]:
        adapter, history = Path(self.layout.adapter(self.run.name)), Path(self.layout.history(self.run.name))
        return (adapter / "adapter_model.safetensors").read_bytes(), history.read_bytes()

    @property
    def record(self) -> dict:
        return read_json(self.layout.run_record(self.run.name))

    @property
    def log(self) -> str:
        log = Path(f"{self.settings}.log")
        return log.read_text() if log.exists() else ""

    def checkpoints(self) -> list[Path]:
        found = Path(self.layout.run(self.run.name)).glob("checkpoints/*/checkpoint-*")
        return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))

    def train(self, stop=None) -> int:
        return train_to_the_end(self.settings, self.run.name, stop)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, tiny_model):
    """A finished run that nothing disturbed."""
    experiment = Experiment(tmp_path_factory.mktemp("uninterrupted"), tiny_model)
    assert experiment.train() == 0, experiment.log
    return experiment


@pytest.fixture
def experiment(tmp_path, tiny_model):
    return Experiment(tmp_path, tiny_model)


def test_a_run_leaves_adapter_history_timing_and_record_and_nothing_else(uninterrupted):
    folder = Path(uninterrupted.layout.run(uninterrupted.run.name))
    assert {path.name for path in folder.iterdir()} == {"adapter", "history.parquet", "timing.parquet", "run.json"}
    record = uninterrupted.record
    assert record["steps"] == STEPS
    assert record["identity"]["method"]["modulation_strength"] == 0.1
    assert {"versions", "hardware", "commit", "training_seconds"} <= set(record)


def test_history_and_timing_have_one_row_per_step(uninterrupted):
    history, metadata = read_parquet(uninterrupted.layout.history(uninterrupted.run.name))
    timing, _ = read_parquet(uninterrupted.layout.timing(uninterrupted.run.name))
    assert history["step"].tolist() == timing["step"].tolist() == list(range(1, STEPS + 1))
    assert set(history.columns) == {"step", *(metric.column for metric in COMMON)}
    assert not history.isna().any().any()
    assert metadata == {"run": uninterrupted.run.name}
    parts = timing["rollout_seconds"] + timing["scoring_seconds"] + timing["update_seconds"]
    assert parts.tolist() == pytest.approx(timing["seconds"].tolist())
    assert (timing[["rollout_seconds", "scoring_seconds", "update_seconds", "tokens_per_second"]] > 0).all().all()
    assert history["kl"].iloc[-1] > 0
    assert (history["entropy"] > 0).all()


def test_the_record_states_the_grpo_settings_that_were_used(uninterrupted, monkeypatch, tmp_path):
    settings = load_frozen(uninterrupted.settings)
    used = []
    monkeypatch.setattr(running, "GRPOConfig", lambda **given: used.append(GRPOConfig(**given)) or used[-1])
    running.build_trainer(
        settings, uninterrupted.run, running.grpo_arguments(settings, uninterrupted.run, 1, str(tmp_path))
    )
    for key, value in uninterrupted.record["grpo"].items():
        found = getattr(used[0], key)
        found = getattr(found, "value", found)  # TRL turns some names into enumerations
        assert found == value or (key, value, found) == ("report_to", "none", []), key


def test_every_setting_of_trl_that_can_change_a_result_is_stated(uninterrupted):
    own = {field.name for field in dataclasses.fields(GRPOConfig)} - {
        field.name for field in dataclasses.fields(GRPOConfig.__mro__[2])
    }
    of_what_is_not_used = ("vllm_", "sapo_", "vespo_", "log_", "ref_model_", "entropy_", "ds3_", "use_transformers_")
    left_out = {name for name in own - set(uninterrupted.record["grpo"]) if not name.startswith(of_what_is_not_used)}
    assert left_out == {
        "generation_batch_size",
        "max_tool_calling_iterations",
        "model_init_kwargs",
        "num_completions_to_print",
        "router_aux_loss_coef",
        "transformers_continuous_batching_config",
        "trust_remote_code",
    }


def test_a_run_killed_in_every_phase_ends_as_if_it_had_not_been(experiment, uninterrupted):
    for stop in PLACES:
        assert experiment.train(stop) == -signal.SIGKILL, (stop, experiment.log)
        assert not Path(experiment.layout.adapter(experiment.run.name)).exists()
    assert experiment.train() == 0, experiment.log
    assert experiment.results == uninterrupted.results
    assert experiment.record["resumed_from_step"] == STEPS
    assert experiment.log.count("is not used: it was not finished") == 2


def test_a_run_killed_at_random_moments_ends_as_if_it_had_not_been(experiment, uninterrupted):
    moments = random.Random(7)
    timing, _ = read_parquet(uninterrupted.layout.timing(uninterrupted.run.name))
    kills = 0
    while kills < RANDOM_KILLS:
        # Some are killed while they start, the others after a few lines of their log.
        lines = experiment.log.count("\nINFO:") + moments.randrange(4)
        process = start(experiment.settings, experiment.run.name)
        while process.is_alive() and experiment.log.count("\nINFO:") < lines:
            time.sleep(0.01)
        process.join(moments.uniform(0, 2) * timing["seconds"].mean())
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL), experiment.log
        kills += process.exitcode == -signal.SIGKILL
    assert experiment.train() == 0, experiment.log
    assert experiment.results == uninterrupted.results


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_terminated_run_saves_a_checkpoint_fails_and_continues(experiment, uninterrupted, number):
    assert experiment.train(Stop("scoring", 5, number)) == 1
    assert f"{number.name} at step 5; a checkpoint is in" in experiment.log
    assert [path.name for path in experiment.checkpoints()][-2:] == ["checkpoint-4", "checkpoint-5"]
    assert not Path(experiment.layout.history(experiment.run.name)).exists()
    assert experiment.train() == 0, experiment.log
    assert experiment.record["resumed_from_step"] == 5
    assert experiment.results == uninterrupted.results


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


def test_other_settings_never_continue_from_these_checkpoints(experiment, tiny_model, tmp_path):
    assert experiment.train(Stop("update", 5)) == -signal.SIGKILL
    other = Experiment(tmp_path, tiny_model, learning_rate=2e-3)
    assert other.run.name == experiment.run.name
    assert other.train() == 0, other.log
    assert other.record["resumed_from_step"] is None


def test_another_save_interval_gives_the_same_results(tmp_path, tiny_model, uninterrupted):
    every = Experiment(tmp_path, tiny_model, save_every=100)
    assert every.train() == 0, every.log
    assert every.results == uninterrupted.results


@pytest.mark.parametrize(("processes", "steps"), [(1, 16), (2, 8), (4, 4), (16, 1)])
def test_accumulation_makes_up_the_batch(processes, steps):
    assert split_batch(TrainingSettings(batch_size=64, micro_batch_size=4), processes) == steps


def test_a_batch_that_does_not_split_is_refused_with_the_values_that_do():
    with pytest.raises(ValueError, match=r"64 is not divisible by 4 .*micro_batch_size = 32.*: \[1, 2, 4, 8, 16\]"):
        split_batch(TrainingSettings(batch_size=64, micro_batch_size=32), 4)
    with pytest.raises(
        ValueError, match=r"64 is not divisible by 3 processes.*the number of processes must divide batch_size"
    ):
        split_batch(TrainingSettings(batch_size=64, micro_batch_size=4), 3)
