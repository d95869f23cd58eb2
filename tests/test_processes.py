"""Several processes (gloo on CPUs here, NCCL on GPUs) train as one process does, and a signal stops all of them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

import tiny
from generalthinker.config.load import freeze
from generalthinker.files import read_json, read_parquet
from generalthinker.paths import Layout
from recorded_training import key

pytestmark = pytest.mark.slow
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]


class Training:
    """A run of a few steps in `folder`.

    Its groups of four do not divide into whole ones per process, and its processes need different numbers of calls.
    """

    def __init__(self, folder, model, **training):
        folder.mkdir(exist_ok=True)
        small = {"batch_size": 12, "micro_batch_size": 2, "learning_rate": 1e-3, "max_completion_tokens": 32}
        settings = tiny.settings(folder, model, **small | training)
        [self.spec] = settings.runs(tiny.choice("GeneralThinker"))
        self.layout, self.run, self.settings = Layout(settings.results), self.spec.name, freeze(settings)

    @property
    def adapter(self):
        return Path(self.layout.adapter(self.run)) / "adapter_model.safetensors"

    @property
    def record(self):
        return read_json(self.layout.run_record(self.run))

    @property
    def history(self):
        return read_parquet(self.layout.history(self.run))[0]

    def start(self, log, processes=2):
        """Start `generalthinker train`."""
        command = [sys.executable, "-m", "generalthinker.cli", "train", self.run, "--processes", str(processes)]
        with log.open("a") as file:
            return subprocess.Popen([*command, "--settings", self.settings], stdout=file, stderr=file)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model):
    """Return (training, its responses) of the same three steps on one process and on two."""
    folder = tmp_path_factory.mktemp("processes")
    script, record = Path(__file__).with_name("recorded_training.py"), folder / "1.json"
    results = []
    for processes in (1, 2):
        training = Training(folder / str(processes), tiny_model, max_steps=3, validate_every=2)
        report = folder / f"{processes}.json"
        command = [*TORCHRUN, str(processes), script, training.settings, training.run, report]
        done = subprocess.run(
            command + [record] * (processes > 1), capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr[-3000:]
        results.append((training, {key(row): row["advantages"] for row in json.loads(report.read_text())}))
    return results


def test_two_processes_give_the_same_advantages_for_the_same_prompts(trained):
    (_, one), (_, two) = trained
    assert len(one) == 3 * 12
    assert one.keys() == two.keys()
    for place, advantages in one.items():
        assert two[place] == pytest.approx(advantages, rel=1e-4, abs=1e-4)
    assert max(abs(value) for advantages in one.values() for value in advantages) > 0.5


def test_two_processes_take_the_same_optimizer_steps(trained):
    (one, _), (two, _) = trained
    assert [one.record["processes"], two.record["processes"]] == [1, 2]
    assert [one.record["grpo"]["gradient_accumulation_steps"], two.record["grpo"]["gradient_accumulation_steps"]] == [
        6,
        3,
    ]
    assert one.record["steps"] == two.record["steps"] == 3
    assert one.history["step"].tolist() == two.history["step"].tolist() == [1, 2, 3]
    for metric in ("reward", "reward_std", "loss", "kl", "completion_length", "tokens", "modulation/sign_flip_ratio"):
        np.testing.assert_allclose(one.history[metric], two.history[metric], rtol=1e-3, atol=1e-5, err_msg=metric)
    assert one.record["validation"] == two.record["validation"]
    weights, others = load_file(one.adapter), load_file(two.adapter)
    for name, matrix in weights.items():
        np.testing.assert_allclose(matrix, others[name], atol=1e-4, err_msg=name)


# Python runs this module at its start.
AT_EXIT = """
import atexit, sys
def tell():
    if torch := sys.modules.get("torch"):
        print("open at exit:", torch.distributed.is_initialized())
atexit.register(tell)
"""


@pytest.mark.thorough
def test_a_signal_to_the_parent_saves_on_all_processes_and_the_run_continues(tmp_path, tiny_model, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(AT_EXIT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    results = []
    for name in ("straight", "stopped"):
        training = Training(tmp_path / name, tiny_model, max_steps=6, save_every=100, validate_every=4)
        log = tmp_path / name / "log"
        process = training.start(log)
        if name == "stopped":
            while process.poll() is None and "step 2 of 6" not in log.read_text():
                time.sleep(0.05)
            process.send_signal(signal.SIGUSR1)
            assert process.wait(120) != 0
            assert "SIGUSR1 at step" in log.read_text()
            process = training.start(log)
        assert process.wait(240) == 0, log.read_text()[-3000:]
        # A process group that is still open makes one of the processes abort now and then.
        assert log.read_text().count("open at exit: False") >= 2
        results.append((training.adapter.read_bytes(), training.history.to_csv()))
    assert 2 <= training.record["resumed_from_step"] < 6
    assert results[0] == results[1]


def test_the_record_of_a_run_on_two_and_then_one_process_names_both(tmp_path, tiny_model, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "11")
    training, log = Training(tmp_path, tiny_model, max_steps=4, save_every=100), tmp_path / "log"
    process = training.start(log)
    while process.poll() is None and "step 2 of 4" not in log.read_text():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) != 0
    assert "SIGINT at step" in log.read_text(), "Ctrl-C saves a checkpoint on all processes"
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    process = training.start(log, processes=1)
    assert process.wait(240) == 0, log.read_text()[-3000:]
    sessions = training.record["sessions"]
    assert [(session["processes"], session["slurm_job"]) for session in sessions] == [(2, "11"), (1, "12")]
    assert [session["from_step"] for session in sessions] == [0, training.record["resumed_from_step"]]
    assert all(session["hardware"]["cores"] for session in sessions)


def test_two_ctrl_c_end_all_processes_at_once(tmp_path, tiny_model):
    training, log = Training(tmp_path, tiny_model, max_steps=50, max_completion_tokens=160), tmp_path / "log"
    process = training.start(log)
    while process.poll() is None and "step 1 of 50" not in log.read_text():
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGINT)
    while "Ctrl-C again stops at once" not in log.read_text():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) != 0
    assert "stopped at once by a second Ctrl-C" in log.read_text()
    assert not any(worker.is_running() for worker in workers)


def test_a_lost_process_ends_the_others_and_nothing_is_half_written(tmp_path, tiny_model):
    training, log = Training(tmp_path, tiny_model, max_steps=50), tmp_path / "log"
    process = training.start(log)
    while process.poll() is None and "step 2 of 50" not in log.read_text():
        time.sleep(0.05)
    psutil.Process(process.pid).children()[-1].kill()
    assert process.wait(60) != 0
    assert not training.adapter.exists()
    assert log.read_text().count("step 50 of 50") == 0
