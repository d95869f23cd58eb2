"""Trainings in separate processes that are stopped at a chosen place: as a scheduler stops jobs, but repeatably."""

import multiprocessing
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import tiny
from generalthinker.config.load import freeze, load_frozen
from generalthinker.files import read_json
from generalthinker.paths import Layout

STEPS = 8
# The server imports everything once; each training is a fork of it that has trained nothing before.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["generalthinker.training.run", "trl", "peft", "tiny", "interruption"])


@dataclass(frozen=True)
class Stop:
    """Send `signal` when the training first comes by `place` at `step` or later, and `times` in all."""

    place: str
    step: int
    signal: int = signal.SIGKILL
    times: int = 1


def start(settings: Path, run: str, stop: Stop | None = None):
    """Start `run` of the frozen `settings` and return its process; its log is appended to `<settings>.log`."""
    process = PROCESSES.Process(target=_train, args=(settings, run, stop))
    process.start()
    return process


def train_to_the_end(settings: Path, run: str, stop: Stop | None = None) -> int:
    """Train until the process ends and return its exit code."""
    process = start(settings, run, stop)
    process.join(120)
    assert process.exitcode is not None, f"{run} still runs after two minutes"
    return process.exitcode


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
        folders = Path(self.layout.run(self.run.name)).glob("checkpoints/*/checkpoint-*")
        return sorted(folders, key=lambda path: int(path.name.rpartition("-")[2]))

    def train(self, stop=None) -> int:
        return train_to_the_end(self.settings, self.run.name, stop)


def _train(settings: Path, name: str, stop: Stop | None) -> None:
    import logging

    import torch

    from sample_methods import with_samples
    from tiny import train

    torch.set_num_threads(1)
    with Path(f"{settings}.log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    logging.basicConfig(level=logging.INFO)
    if stop:
        _arm(stop)
    loaded = with_samples(load_frozen(settings))
    train(loaded, loaded.run(name))


def _arm(stop: Stop) -> None:
    """Wrap the function that stands for `stop.place`."""
    import torch

    from generalthinker.methods.generalthinker import GeneralThinker
    from generalthinker.training import history, run
    from generalthinker.training.checkpoints import MarkComplete
    from generalthinker.training.trainer import MethodTrainer as Trainer

    def strike() -> None:
        for _ in range(stop.times):
            os.kill(os.getpid(), stop.signal)

    def before(owner, name: str, step_of) -> None:
        inner = getattr(owner, name)

        def wrapped(*args, **kwargs):
            if step_of(*args) >= stop.step:
                strike()
            return inner(*args, **kwargs)

        setattr(owner, name, wrapped)

    def step_of(file: Path) -> int:
        return int(file.parent.name.rpartition("-")[2])

    def underway(trainer, *_) -> int:
        return trainer.state.global_step + 1

    def half_a_row(path: Path, row: dict) -> None:
        if row["step"] >= stop.step:
            with path.open("a") as file:
                file.write(f'{{"step": {row["step"]}, "lo')
            strike()
        append(path, row)

    append = history.append_row
    match stop.place:
        case "rollout":
            before(GeneralThinker, "score", lambda method, rollouts, trainer: underway(trainer))
        case "scoring":
            before(GeneralThinker, "token_credit", lambda method, responses: responses.step)
        case "update":
            before(Trainer, "compute_loss", underway)
        case "validation":
            before(Trainer, "correct_answers", lambda trainer, *_: trainer.state.global_step)
        case "metrics":
            history.append_row = half_a_row
        case "checkpoint":
            before(torch, "save", lambda _, file, *rest: step_of(Path(file)) if "rng_state" in str(file) else 0)
        case "mark":
            before(MarkComplete, "on_save", lambda _, args, state, *rest: state.global_step)
        case "record":
            before(run, "write_json", lambda path, _: stop.step if path.name == "run.json" else 0)
