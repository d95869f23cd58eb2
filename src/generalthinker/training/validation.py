"""Validation while training: what it leaves behind, and what it leaves alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import TrainerCallback


class SaveWhatIsValidated(TrainerCallback):
    """Save a checkpoint with every validation, so that the best adapter can be taken from there."""

    def on_step_end(self, args, state, control, **kwargs):
        """Look at what the trainer's own schedule decided."""
        if control.should_evaluate:
            control.should_save = True


@contextmanager
def decoding(trainer: Any, sampled: bool, seed: int) -> Iterator[None]:
    """Within it, `trainer` generates greedily, or samples from `seed`; nothing of it is left behind."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    engine = trainer.vllm_generation if trainer.use_vllm else None
    model, kwargs = trainer.model, {} if engine else trainer.generation_kwargs
    model.eval()
    try:
        if engine and not sampled:
            engine.temperature = 0.0
        elif not engine:
            trainer.generation_config.do_sample = sampled
            trainer.generation_kwargs = kwargs | {"do_sample": sampled}
        with torch.random.fork_rng(devices), torch.no_grad():
            torch.manual_seed(seed)
            yield
    finally:
        if engine:
            engine.temperature = trainer.temperature
        else:
            trainer.generation_config.do_sample = True
            trainer.generation_kwargs = kwargs
        model.train()
