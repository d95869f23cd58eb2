"""How far the rollout engine's policy is from the trainer's, on the tokens that were sampled and enter the loss.

The engine returns the log-probability with which it sampled each token. The loss's forward pass computes the trainer's,
so that the comparison costs no pass of its own. The loss itself does not use the engine's log-probabilities.
"""

import torch
from accelerate import Accelerator
from torch import Tensor

from generalthinker.metrics import SAMPLING_DIFFERENCE, SAMPLING_DIFFERENCE_MAX, SAMPLING_KL


class SamplingGap:
    """The gap over the micro-batches of one optimizer step; every token has the same weight."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.trainer_logps: Tensor | None = None  # (B, T), those of the latest forward pass
        self._sums: Tensor | None = None  # of |difference| and k3, and the number of tokens
        self._largest: Tensor | None = None

    def add(self, sampling_logps: Tensor, completion_mask: Tensor) -> None:
        """Add a micro-batch whose loss has just been computed: `sampling_logps` and `completion_mask` are (B, T).

        Tokens that vLLM gives no log-probability (NaN) are left out.
        """
        assert self.trainer_logps is not None
        counted = completion_mask.bool() & ~sampling_logps.isnan()
        difference = torch.where(counted, self.trainer_logps - sampling_logps, 0.0).double()
        # k3, an unbiased estimate of KL(engine ‖ trainer) on tokens that the engine has sampled.
        sums = torch.stack([difference.abs().sum(), (difference.expm1() - difference).sum(), counted.sum()])
        largest = difference.abs().max()
        self._sums = sums if self._sums is None else self._sums + sums
        self._largest = largest if self._largest is None else torch.maximum(self._largest, largest)

    def of_step(self) -> dict[str, float]:
        """Return mean and maximum of the differences and the KL (nats per token) over all processes, and start anew.

        It is called once per optimizer step, on every process.
        """
        assert self._sums is not None
        assert self._largest is not None
        absolute, kl, count = self.accelerator.reduce(self._sums, reduction="sum").tolist()
        largest = self.accelerator.gather(self._largest).max().item()
        self._sums = self._largest = None
        count = max(count, 1)
        return {SAMPLING_DIFFERENCE: absolute / count, SAMPLING_DIFFERENCE_MAX: largest, SAMPLING_KL: kl / count}
