"""Controls of GeneralThinker: the same training with a modulation that is wrong on purpose, or on some tokens only.

`negated`, `shuffled` and `random` change the signal s of equation 7 before equations 8 to 14: its sign; its order on
the reasoning tokens of each response; or all of it, by standard normal numbers. Size, clipping and bound of the
modulation stay those of GeneralThinker. `gate` keeps the signal and modulates only the reasoning tokens where the
current policy is least certain: with q the share of all reasoning tokens of the step, the tokens whose entropy is at
least the (1 − q) quantile; w is the projection of m̄ on {|w| ≤ 1, Σ w = 0} over these tokens. A later release of the
authors' code has a gate and both changes of sign and order; q = 0.2 is a guess.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from generalthinker.methods.generalthinker import GeneralThinker
from generalthinker.methods.method import Quantity, Responses, TokenCredit

if TYPE_CHECKING:
    from torch import Tensor


class ModulationControl(GeneralThinker):
    """GeneralThinker with a negated, shuffled or random signal, or with a gate by entropy."""

    family: Literal["modulation_control"]  # type: ignore[assignment]

    change: Annotated[
        Literal["gate", "shuffled", "negated", "random"], Field(description="what differs from GeneralThinker")
    ] = "shuffled"
    gate_share: Annotated[
        float, Field(gt=0, le=1, description="q, share of the reasoning tokens that the gate lets through")
    ] = 0.2

    @model_validator(mode="after")
    def _gate_is_bounded(self) -> Self:
        if self.change == "gate" and not self.direction_preserving:
            raise ValueError(
                "change = gate: set direction_preserving: true; the gate is defined on its bounded weights"
            )
        return self

    @property
    def needs(self) -> dict[str, str]:
        """As GeneralThinker; random numbers need no policy."""
        return super().needs | {"initial policy": "" if self.change == "random" else "yes"}

    def identity(self) -> dict[str, Any]:
        """Return the settings that determine a result: the gate has its own bound, the others have no share."""
        settings = super().identity()
        del settings["bound" if self.change == "gate" else "gate_share"]
        return settings

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """Those of GeneralThinker; the words about s name the change."""
        signal, *others = super().quantities
        return (signal._replace(about=(f"{signal.about[0]}; control: {self.change}",)), *others)

    def signal(self, responses: Responses) -> "Tensor":
        """Return the signal (B, T) that stands in for s."""
        import torch

        if self.change == "random":
            signal = torch.zeros(responses.prefix_mask.shape, device=responses.prefix_mask.device)
        else:
            signal = super().signal(responses)
        if self.change == "negated":
            return -signal
        if self.change == "gate":
            return signal
        signal = signal.clone()
        for row, seed in enumerate(responses.seeds):
            reasoning = responses.prefix_mask[row]
            count, drawn = int(reasoning.sum()), torch.Generator().manual_seed(seed)
            if self.change == "random":
                signal[row, reasoning] = torch.randn(count, generator=drawn).to(signal)
            else:
                order = torch.randperm(count, generator=drawn).to(signal.device)
                signal[row, reasoning] = signal[row, reasoning][order]
        return signal

    def token_credit(self, responses: Responses) -> TokenCredit:
        """Return the advantages of the tokens, through the gate if there is one."""
        credit = super().token_credit(responses)
        if self.change != "gate":
            return credit
        gate = uncertain(responses, self.gate_share)
        return gated(credit, responses, gate, self.modulation_strength)


def uncertain(responses: Responses, share: float) -> "Tensor":
    """Return the mask (B, T) of reasoning tokens whose entropy is at least the (1 − share) quantile of the step's."""
    import torch

    entropies = responses.entropies()
    of_step = responses.of_all_processes(entropies[responses.prefix_mask])
    if not len(of_step):
        return responses.prefix_mask
    return responses.prefix_mask & (entropies >= torch.quantile(of_step, 1 - share))


def gated(credit: TokenCredit, responses: Responses, gate: "Tensor", strength: float) -> TokenCredit:
    """Return equation 14 with the projection of m̄ on the tokens of `gate` as w; other tokens keep the response's."""
    import torch

    from generalthinker.credit.modulation import bounded_weights

    weights = bounded_weights(credit.quantities["clipped"], gate, "zero_sum")
    response = responses.advantages.unsqueeze(1)
    advantages = torch.where(gate, response + strength * response.abs() * weights, response)
    tokens = responses.prefix_mask.sum().clamp(min=1)
    flipped = ((advantages * response < 0) & gate).sum() / tokens
    shares = {**credit.shares, "modulation/sign_flip_ratio": flipped}
    return TokenCredit(advantages, shares, {**credit.quantities, "w": weights})
