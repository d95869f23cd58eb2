"""Finished work is kept under what made it, and work of other code is never taken or redone in silence."""

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tiny
from generalthinker.config.load import freeze
from generalthinker.files import read_json
from generalthinker.identity import Identity, identity_of_run
from generalthinker.keeping import OtherCodeError, Store
from generalthinker.paths import Layout
from interruption import Stop, train_to_the_end

CODE = {"credit": "1", "training": "1"}


def identity(lr=1.0, code=CODE):
    return Identity("runs", "small/GT_seed-1", {"lr": lr}, code)


def keep(store, made_by, content="weights"):
    with store.keeping(made_by) as folder:
        (folder / "adapter").mkdir()
        (folder / "adapter/weights").write_text(content)
        (folder / "history").write_text("rows")
    return store.find(made_by)


def test_a_kept_result_is_found_by_its_identity_alone_and_put_back(tmp_path):
    store = Store(tmp_path)
    assert store.find(identity()) is None
    kept = keep(store, identity())
    assert (kept.label, kept.size) == ("runs/small/GT_seed-1", len("weights") + len("rows"))
    assert store.find(identity(lr=2.0)) is None
    target = tmp_path / "runs/adapter"
    for _ in range(2):
        store.put_back(kept, {"history": tmp_path / "runs/history", "adapter": target})
        assert (target / "weights").read_text() == "weights"
        assert (tmp_path / "runs/history").samefile(kept.folder / "history"), "a link costs no space"
        shutil.rmtree(target)
    assert store.find(identity()) is not None, "deleting what was put back leaves the kept result"


def test_a_damaged_or_unfinished_kept_result_is_not_used(tmp_path, caplog):
    store = Store(tmp_path)
    kept = keep(store, identity())
    with contextlib.suppress(RuntimeError), store.keeping(identity(lr=3.0)) as folder:
        (folder / "half").write_text("written")
        raise RuntimeError
    assert [entry.folder for entry in store.all()] == [kept.folder]
    (kept.folder / "adapter/weights").write_text("WEIGHTS")
    assert store.find(identity()) is None
    assert "adapter/weights is missing or has changed" in caplog.text


def test_what_other_code_made_is_used_or_redone_only_if_asked_for(tmp_path):
    store = Store(tmp_path)
    old = keep(store, identity(code=CODE | {"credit": "1+abc"}))
    with pytest.raises(OtherCodeError) as refused:
        store.find_or_ask(identity(), "ask")
    for words in ("credit 1+abc, now 1 in credit", "--other-code use", "--other-code redo", str(old.folder)):
        assert words in str(refused.value)
    assert store.find_or_ask(identity(), "use") == old
    assert store.find_or_ask(identity(), "redo") is None
    assert store.find_or_ask(identity(lr=2.0), "ask") is None, "other settings are other work"


class Training:
    """The settings of a run of a few steps, and the command line that trains it."""

    def __init__(self, folder, model, **training):
        folder.mkdir(exist_ok=True)
        small = {"max_steps": 4, "save_every": 1, "learning_rate": 1e-3}
        self.settings = tiny.settings(folder, model, **small | training)
        [self.run] = self.settings.runs(tiny.choice("GeneralThinker"))
        self.layout, self.frozen = Layout(self.settings.results), freeze(self.settings)
        self.folder = Path(self.layout.run(self.run.name))

    def train(self, *options, **environment):
        command = [sys.executable, "-X", "importtime", "-m", "generalthinker.cli", "train", self.run.name]
        return subprocess.run(
            [*command, "--settings", str(self.frozen), *options],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env=tiny.environment(**environment),
        )

    def weights(self) -> bytes:
        return (self.folder / "adapter/adapter_model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_finished_run_is_put_back_without_a_framework_and_says_so(tmp_path, tiny_model):
    training = Training(tmp_path, tiny_model)
    done = training.train()
    assert done.returncode == 0, done.stderr[-3000:]
    weights, history = training.weights(), (training.folder / "history.parquet").read_bytes()
    again = training.train()
    assert "already trained; nothing to do" in again.stderr
    # Snakemake deletes the declared outputs before it starts a job again.
    shutil.rmtree(training.folder / "adapter")
    (training.folder / "history.parquet").unlink()
    again = training.train()
    assert again.returncode == 0
    assert "finished; its result is linked from" in again.stderr
    assert not any(line.endswith(("| torch", "| transformers", "| trl")) for line in again.stderr.splitlines())
    assert training.weights() == weights
    assert (training.folder / "history.parquet").read_bytes() == history
    assert {path.name for path in training.folder.iterdir()} == {
        "adapter",
        "history.parquet",
        "timing.parquet",
        "run.json",
    }
    # A store that was deleted is filled again from a run that lies finished in its place.
    shutil.rmtree(Path(training.settings.results) / "kept/runs")
    assert "already trained" in training.train().stderr
    assert Store(training.settings.results).find(identity_of_run(training.settings, training.run))


@pytest.mark.slow
def test_checkpoints_of_other_code_are_continued_or_left_only_if_asked_for(tmp_path, tiny_model):
    training = Training(tmp_path, tiny_model)
    assert train_to_the_end(training.frozen, training.run.name, Stop("update", 3)) < 0
    [checkpoints] = (training.folder / "checkpoints").iterdir()
    record = json.loads((checkpoints / "identity.json").read_text())
    record["code"]["credit"] = "0"
    (checkpoints / "identity.json").write_text(json.dumps(record))
    checkpoints = checkpoints.rename(checkpoints.with_name("0" * 16))
    refused = training.train()
    assert refused.returncode == 1
    for words in ("run was begun by other code", "credit 0, now 1 in credit", "--other-code use", "--other-code redo"):
        assert words in refused.stderr
    assert not (training.folder / "adapter").exists()
    done = training.train(GENERALTHINKER_OTHER_CODE="use")
    assert done.returncode == 0, done.stderr[-3000:]
    record = read_json(training.layout.run_record(training.run.name))
    assert record["resumed_from_step"] == 2
    assert record["continued_from"]["credit"] == "0"
    assert [session["from_step"] for session in record["sessions"]] == [0, 2]
