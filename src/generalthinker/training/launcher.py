"""From a run to processes: one per visible GPU, started by torchrun; the global batch stays the same."""

import os
import sys
from typing import NoReturn

from generalthinker.config.training import TrainingSettings
from generalthinker.errors import StageError

SECONDS_TO_STOP = 600


class BatchSplitError(StageError, ValueError):
    """The batch does not divide over the devices."""


class RolloutEngineError(StageError, ValueError):
    """The rollout engine does not fit this machine or these settings."""


def split_batch(training: TrainingSettings, processes: int) -> int:
    """Return the gradient accumulation steps that make `batch_size` from `processes` devices of `micro_batch_size`.

    Raises BatchSplitError with the allowed values if the batch does not split evenly.
    """
    per_step = processes * training.micro_batch_size
    if training.batch_size % per_step:
        allowed = [n for n in range(1, training.batch_size + 1) if training.batch_size % (n * processes) == 0]
        raise BatchSplitError(
            f"training.batch_size = {training.batch_size} does not split over {processes} processes with "
            f"training.micro_batch_size = {training.micro_batch_size}; "
            + (f"allowed micro_batch_size: {allowed}" if allowed else "allowed processes: its divisors")
        )
    return training.batch_size // per_step


def require_rollout_engine(training: TrainingSettings) -> None:
    """Raise RolloutEngineError where vLLM would not sample from the policy that is trained."""
    if training.rollout_engine != "vllm":
        return
    if not visible_gpus():
        raise RolloutEngineError(
            "training.rollout_engine = vllm needs a GPU, and none is visible here: vLLM's CPU build packs its weights "
            "when it starts and does not see the training. Set training.rollout_engine: transformers, or run on a GPU"
        )
    if training.precision != "bf16":
        raise RolloutEngineError(
            f"training.rollout_engine = vllm samples in bf16, training.precision is {training.precision}: set "
            "precision: bf16, or rollout_engine: transformers"
        )


def visible_gpus() -> int:
    """Return how many GPUs this job may use; 0 means training on the CPU."""
    import torch

    return torch.cuda.device_count()


def launch(settings_file: str, run: str, processes: int, threads: int) -> NoReturn:
    """Become the parent of `processes` training processes on this machine; its exit status is theirs.

    A signal to the parent reaches all of them, and they have `SECONDS_TO_STOP` to finish their step and save.
    """
    command = [
        *(sys.executable, "-m", "torch.distributed.run"),
        "--standalone",
        *("--nproc-per-node", str(processes)),
        *("--signals-to-handle", "SIGTERM,SIGINT,SIGUSR1"),
        *("--shutdown-timeout", str(SECONDS_TO_STOP)),
        *("-m", "generalthinker.cli", "train", run),
        *("--settings", settings_file),
        *("--processes", str(processes)),
        *("--threads", str(max(1, threads // processes))),
    ]
    os.execv(sys.executable, command)
