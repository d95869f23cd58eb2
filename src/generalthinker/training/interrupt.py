"""Stop on a signal, such as Ctrl-C or SLURM's before the time limit: save a checkpoint, then end the training."""

import os
import signal
from types import FrameType, TracebackType
from typing import Any, Self

from accelerate.utils import gather_object
from transformers import TrainerCallback

from generalthinker.errors import StageError


class InterruptedTrainingError(StageError, RuntimeError):
    """A signal stopped the training after it had saved a checkpoint; the next start resumes from it."""


class StopOnSignal(TrainerCallback):
    """Inside its `with` block, a signal stops the training after the current step, with a checkpoint.

    The signals are SIGINT (Ctrl-C), SIGTERM and SIGUSR1. A second Ctrl-C stops at once.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._before: dict[int, Any] = {}
        # torchrun answers a second Ctrl-C by sending SIGTERM to its processes.
        self._insisting = {signal.SIGINT, signal.SIGTERM} if "LOCAL_RANK" in os.environ else {signal.SIGINT}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            # A shell starts background jobs with SIGINT ignored: Ctrl-C is meant for others.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is KeyboardInterrupt:
            raise InterruptedTrainingError(
                "stopped at once by a second Ctrl-C; the same command continues from the newest checkpoint"
            ) from None

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received == "SIGINT" and number in self._insisting:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name
        if number == signal.SIGINT:
            # Not through logging, whose lock the interrupted code may hold.
            os.write(2, b"Ctrl-C: saving a checkpoint after this step; Ctrl-C again stops at once\n")

    def on_step_end(self, args, state, control, **kwargs):
        """Tell the trainer to save and stop if any process has received a signal."""
        self.received = next(filter(None, gather_object([self.received])), None)
        if self.received:
            control.should_save = True
            control.should_training_stop = True
