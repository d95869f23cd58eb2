"""The state of a method between optimizer steps: its own values and, if it uses one, a slow policy.

Both are saved with every checkpoint, so that a resumed training gives the same bytes as an uninterrupted one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import TrainerCallback

from generalthinker.files import read_json, write_json
from generalthinker.methods.method import SlowPolicy

STATE = "method_state.json"
SLOW = "slow_policy.safetensors"


class Memory:
    """The state of one training's method. It is the same on all processes, because each makes the same updates."""

    def __init__(self, model: nn.Module, slow_policy: SlowPolicy | None) -> None:
        self.state: dict[str, Any] = {}
        self._adapter = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._rule = slow_policy
        self._slow = {name: p.detach().clone() for name, p in self._adapter.items()} if slow_policy else {}

    @contextmanager
    def slow(self) -> Iterator[None]:
        """Replace the model by the slow policy inside the `with` block; only for passes without gradients."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Move the slow policy towards the current one if an update is due at `step`."""
        if self._rule and step % self._rule.every == 0:
            for name, parameter in self._adapter.items():
                self._slow[name].lerp_(parameter.detach(), self._rule.rate)

    def save(self, checkpoint: Path) -> None:
        """Write the state to a checkpoint's folder."""
        write_json(checkpoint / STATE, self.state)
        if self._slow:
            save_file(self._slow, checkpoint / SLOW)

    def load(self, checkpoint: Path) -> None:
        """Restore what `save` wrote."""
        self.state = read_json(checkpoint / STATE)
        if self._slow:
            for name, saved in load_file(checkpoint / SLOW).items():
                self._slow[name].copy_(saved)

    def _swap(self) -> None:
        for name, parameter in self._adapter.items():
            current: Tensor = parameter.data
            parameter.data, self._slow[name] = self._slow[name], current


class UpdateSlowPolicy(TrainerCallback):
    """Update the slow policy after an optimizer step, before the checkpoint of that step is saved."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def on_step_end(self, args, state, control, **kwargs):
        """Update the slow policy if an update is due at this step."""
        self.memory.after_step(state.global_step)
