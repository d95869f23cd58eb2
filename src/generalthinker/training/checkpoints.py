"""Checkpoints that can be trusted: complete ones are marked, marked ones are verified, the newest good one is used.

They live in `<run>/checkpoints/<identity>/`, outside Snakemake's declared outputs, and belong to one identity
(settings, data, models, code): after a change of any of these a run never continues from earlier weights.
"""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate import PartialState
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from generalthinker.disk import is_full
from generalthinker.errors import StageError
from generalthinker.files import read_json, write_json
from generalthinker.provenance import file_hash

MARK = "complete.json"
logger = logging.getLogger(__name__)

# Where several processes train on CPUs, accelerate calls them cpu:0, cpu:1 …, which torch.load does not know.
torch.serialization.register_package(
    100, lambda storage: None, lambda storage, place: storage if place.startswith("cpu:") else None
)


class DamagedCheckpointError(StageError, RuntimeError):
    """The checkpoint that is needed is not what was written."""


class MarkComplete(TrainerCallback):
    """Write the SHA-256 of a checkpoint's files into it, last of all."""

    def on_save(self, args, state, control, **kwargs):
        """Mark the checkpoint that was just written, once every process has written its part."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            folder = checkpoint_of(Path(args.output_dir), state.global_step)
            files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MARK)
            write_json(folder / MARK, {str(path.relative_to(folder)): file_hash(path) for path in files})


def checkpoint_of(folder: Path, step: int) -> Path:
    """Return where the checkpoint of `step` lies."""
    return folder / f"{PREFIX_CHECKPOINT_DIR}-{step}"


def step_of(checkpoint: Path) -> int:
    """Return the step that a checkpoint is of."""
    return int(checkpoint.name.rsplit("-", 1)[1])


def good_checkpoints(folder: Path) -> list[Path]:
    """Return the complete checkpoints whose files are unchanged, the earliest first; nothing is removed."""
    candidates = sorted(folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"), key=step_of)
    return [candidate for candidate in candidates if not _problem(candidate)]


def newest_good(folder: Path) -> Path | None:
    """Return the newest complete checkpoint whose files are unchanged; damaged or unfinished ones are removed."""
    candidates = sorted(folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"), key=step_of, reverse=True)
    for candidate in candidates:
        if problem := _problem(candidate):
            logger.warning("checkpoint %s is not used: %s", candidate, problem)
            shutil.rmtree(candidate)
        else:
            return candidate
    return None


@contextmanager
def removing_unfinished(folder: Path) -> Iterator[None]:
    """Remove the checkpoint that a full disk cut off in the block, so that its space is free again."""
    try:
        yield
    except Exception as error:
        if is_full(error):
            for candidate in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
                if not (candidate / MARK).exists():
                    shutil.rmtree(candidate, ignore_errors=True)
        raise


def require_good(checkpoint: Path) -> Path:
    """Return `checkpoint`; raises DamagedCheckpointError if it is not complete and unchanged."""
    if problem := _problem(checkpoint):
        raise DamagedCheckpointError(
            f"{checkpoint}, the best on the validation questions, cannot be used: {problem}. "
            f"Delete {checkpoint.parent} to train this run again, or set training.validate_every to null to keep the "
            "last adapter"
        )
    return checkpoint


def _problem(checkpoint: Path) -> str | None:
    try:
        marked = read_json(checkpoint / MARK)
    except FileNotFoundError:
        return "it was not finished"
    except ValueError:
        return f"its {MARK} cannot be read"
    for name, digest in marked.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if file_hash(path) != digest:
            return f"{name} has changed since it was written"
    return None
