"""Stop on a signal, such as SLURM's before the time limit: save a checkpoint, then end the training."""

import signal
from typing import Any, Self

from accelerate.utils import gather_object
from transformers import TrainerCallback

from generalthinker.errors import StageError


class InterruptedTrainingError(StageError, RuntimeError):
    """A signal stopped the training after it had saved a checkpoint; the next start resumes from it."""


class StopOnSignal(TrainerCallback):
    """Inside its `with` block, SIGTERM or SIGUSR1 stops the training after the current step, with a checkpoint."""

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
        """Tell the trainer to save and stop if any process has received a signal."""
        self.received = next(filter(None, gather_object([self.received])), None)
        if self.received:
            control.should_save = True
            control.should_training_stop = True
