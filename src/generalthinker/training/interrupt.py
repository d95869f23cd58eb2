"""Stopping in good order: what SLURM sends before the time limit becomes a checkpoint and a clean exit."""

import signal

from transformers import TrainerCallback


class InterruptedTrainingError(RuntimeError):
    """A signal ended the training after a checkpoint; starting again continues from there."""


class StopOnSignal(TrainerCallback):
    """On SIGTERM or SIGUSR1, save a checkpoint after the current optimizer step and stop."""

    def __init__(self) -> None:
        self.received: str | None = None
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._remember)

    def _remember(self, number: int, frame) -> None:
        self.received = signal.Signals(number).name

    def on_step_end(self, args, state, control, **kwargs):
        """Ask the trainer to save and stop if a signal came."""
        if self.received:
            control.should_save = True
            control.should_training_stop = True
