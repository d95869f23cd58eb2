"""Whole training runs: what they write, and which settings they used."""

import dataclasses
import signal
from pathlib import Path

import pytest
from trl import GRPOConfig

from generalthinker.config.load import load_frozen
from generalthinker.config.training import TrainingSettings
from generalthinker.files import read_parquet
from generalthinker.metrics import COMMON
from generalthinker.training import run as running
from generalthinker.training.launcher import split_batch
from interruption import STEPS, Experiment, Stop

pytestmark = pytest.mark.slow


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
        in_use = getattr(used[0], key)
        in_use = getattr(in_use, "value", in_use)  # TRL turns some names into enumerations
        assert in_use == value or (key, value, in_use) == ("report_to", "none", []), key


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
