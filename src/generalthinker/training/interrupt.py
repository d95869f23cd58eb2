"""Stopping in good order: what SLURM sends before the time limit becomes a checkpoint and a clean exit."""

import signal
from typing import Any, Self

from accelerate.utils import gather_object
from transformers import TrainerCallback

from generalthinker.errors import StageError


class InterruptedTrainingError(StageError, RuntimeError):
    """A signal ended the training after a checkpoint; starting again continues from there."""


class StopOnSignal(TrainerCallback):
    """Within its `with`, SIGTERM or SIGUSR1 saves a checkpoint after the current optimizer step and stops."""

    def __init__(self) -> None:
        self.received: str | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGUSR1):
            self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame) -> None:
        self.received = signal.Signals(number).name

    def on_step_end(self, args, state, control, **kwargs):
        """Ask the trainer to save and stop if a signal came, to whichever process."""
        self.received = next(filter(None, gather_object([self.received])), None)
        if self.received:
            control.should_save = True
            control.should_training_stop = True
