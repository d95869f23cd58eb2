"""From a run to processes: one per visible GPU, started by accelerate; the global batch stays the same."""

import subprocess
import sys

from generalthinker.config.training import TrainingSettings


def split_batch(training: TrainingSettings, processes: int) -> int:
    """Return the gradient accumulation steps that make `batch_size` from `processes` devices of `micro_batch_size`.

    Raises ValueError with the allowed values if the batch does not split evenly.
    """
    per_step = processes * training.micro_batch_size
    if training.batch_size % per_step:
        allowed = [n for n in range(1, training.batch_size + 1) if training.batch_size % (n * processes) == 0]
        raise ValueError(
            f"training.batch_size = {training.batch_size} does not split over {processes} processes with "
            f"training.micro_batch_size = {training.micro_batch_size}; "
            + (f"allowed micro_batch_size: {allowed}" if allowed else "allowed processes: its divisors")
        )
    return training.batch_size // per_step


def visible_gpus() -> int:
    """Return how many GPUs this job may use; 0 means training on the CPU."""
    import torch

    return torch.cuda.device_count()


def launch(settings_file: str, run: str, processes: int, threads: int) -> int:
    """Start `processes` training processes on this machine and return the exit status."""
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--num_processes",
        str(processes),
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",  # GRPOConfig decides
        "--dynamo_backend",
        "no",
        *(["--multi_gpu"] if processes > 1 else []),
        "-m",
        "generalthinker.cli",
        "train",
        run,
        "--settings",
        settings_file,
        "--processes",
        str(processes),
        "--threads",
        str(max(1, threads // processes)),
    ]
    return subprocess.run(command, check=False).returncode
