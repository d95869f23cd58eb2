"""Validation during training: save a checkpoint with each, and restore the trainer's state after it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import TrainerCallback


class SaveWhatIsValidated(TrainerCallback):
    """Save a checkpoint with every validation, so that the best adapter can be taken from there."""

    def on_step_end(self, args, state, control, **kwargs):
        """Save at every step at which the trainer will validate."""
        if control.should_evaluate:
            control.should_save = True


@contextmanager
def decoding(trainer: Any, sampled: bool, seed: int) -> Iterator[None]:
    """Let `trainer` generate greedily, or sample with `seed`; then restore its settings and the random state."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    trainer.model.eval()
    _sample(trainer, sampled)
    try:
        with torch.random.fork_rng(devices), torch.no_grad():
            torch.manual_seed(seed)
            yield
    finally:
        _sample(trainer, True)
        trainer.model.train()


def _sample(trainer: Any, sampled: bool) -> None:
    if trainer.use_vllm:
        trainer.vllm_generation.temperature = trainer.temperature if sampled else 0.0
    else:
        trainer.generation_config.do_sample = trainer.generation_kwargs["do_sample"] = sampled
