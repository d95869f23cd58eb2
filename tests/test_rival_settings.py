"""The settings of the rivals: their two forms, what runs are called, and the two configurations that name them."""

from pathlib import Path

import pytest

from generalthinker.config.load import load
from generalthinker.config.reporting import HyperparameterTable, RunChoice
from generalthinker.reporting.tables.hyperparameters import hyperparameters

CONFIG = Path(__file__).parent.parent / "config"
PAIRS = {"rivals": "demo.yaml", "rivals-paper": "config.yaml"}


@pytest.fixture(scope="module", params=PAIRS)
def settings(request):
    return load([CONFIG / PAIRS[request.param], CONFIG / f"{request.param}.yaml"])


def run_of(settings, label):
    return settings.runs(settings.tables["rivals"].choices[label])[0]


def test_every_method_has_a_row_and_every_row_a_run_of_its_own(settings):
    choices = settings.tables["rivals"].choices
    others = {"AM only", "AM+TC", "AM+DP"}
    assert {choice.method for choice in choices.values()} == set(settings.methods) - others
    runs = [run for choice in choices.values() for run in settings.runs(choice)]
    assert len({run.name for run in runs}) == len(runs)
    assert all(settings.run(run.name) == run for run in runs)
    trained = [run for run in runs if run.seed is not None]
    identities = [str(sorted(settings.training_identity(run).items(), key=str)) for run in trained]
    assert len(set(identities)) == len(trained)


def test_the_matched_form_has_the_experiments_training_and_the_own_form_its_authors(settings):
    plain, matched, own = (run_of(settings, label) for label in ("Likelihood-RL", "NOVER", "NOVER (own)"))
    assert settings.training_of(matched) == settings.training_of(plain) == settings.training
    assert settings.grpo_options(matched) == {}
    assert settings.training_of(own) == settings.training.model_copy(
        update={"kl_coef": 0.1, "clip_range": 0.1, "temperature": 0.6, "mask_truncated": False}
    )
    assert settings.grpo_options(own) == {"epsilon_high": 0.2}
    identities = [settings.training_identity(run)["training"] for run in (plain, matched, own)]
    assert identities[0] == identities[1]
    assert identities[2] == identities[0] | {
        "kl_coef": 0.1,
        "clip_range": 0.1,
        "temperature": 0.6,
        "mask_truncated": False,
        "epsilon_high": 0.2,
    }


def test_the_table_of_hyper_parameters_shows_what_the_run_uses(settings):
    choice = settings.tables["rivals"].choices["VeriFree (own)"]
    table = HyperparameterTable(kind="hyperparameters", title="own", run=RunChoice(**choice.model_dump()))
    shown = hyperparameters(settings, table)
    assert (shown["kl_coef"], shown["loss_type"], shown["form"]) == ("0.0", "luspo", "own")


def test_the_verifier_is_a_model_of_the_settings_and_part_of_the_run(settings):
    run = run_of(settings, "General-Reasoner")
    [entry] = settings.method(run).models.values()
    assert settings.training_identity(run)["models"] == {"verifier": settings.model_identity(entry)}
    assert entry in settings.models_of_kind("hub") + settings.built_models
