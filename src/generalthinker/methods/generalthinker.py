r"""GeneralThinker: Likelihood-RL whose advantages are redistributed over the reasoning tokens (equations 7 to 14).

    s_t = log π_θ(r_t | x̃, r_<t) − log π_ref(r_t | x, r_<t), without gradient           (7)
    m_t = (s_t − mean(s)) / (std(s) + 1e-6), over the tokens of r                        (8, 9)
    m̄_t = c_t − mean(c) with c_t = clip(m_t, −τ, τ); without token clipping m̄_t = m_t    (11)
    w_t = m̄_t / max|m̄|                                                                  (12, 13)
    Â_t = Â + β |Â| w_t where the direction is preserved                                 (14)
    Â_t = Â + β m̄_t where it is not                                                      (10)

Â is the response's advantage; tokens outside the reasoning r keep it. x̃ is the prompt that gives the answer: its user
turn asks to reason given the final answer, and the assistant's turn begins with `\boxed{a*}`. π_ref is the model before
the training.

The paper's ablations use some of its parts: AM alone (`clip_threshold: null, direction_preserving: false`), AM+TC
(`direction_preserving: false`), AM+DP (`clip_threshold: null`), and all three.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from generalthinker.methods.likelihood_rl import LikelihoodRL
from generalthinker.methods.method import Knob, Quantity, Responses, TokenCredit
from generalthinker.prompts import answer_conditioned_prompt

if TYPE_CHECKING:
    from torch import Tensor


class GeneralThinker(LikelihoodRL):
    """Advantage modulation (AM), token clipping (TC) and the direction-preserving bound (DP)."""

    family: Literal["generalthinker"]  # type: ignore[assignment]

    modulation_strength: Annotated[
        float,
        Field(gt=0, lt=1, description="β, equations 10 and 14; below 1, a bounded advantage cannot change its sign"),
        Knob("strength", "β", "modulation strength β"),
    ] = 0.1
    clip_threshold: Annotated[
        float | None,
        Field(gt=0, description="τ, equation 11, in standard deviations of the prefix's signal; null: no clipping"),
        Knob("clip", "τ", "clip threshold τ"),
    ] = 2.0
    direction_preserving: Annotated[bool, Field(description="bound the modulation, equations 12 to 14")] = True
    bound: Annotated[
        Literal["max_abs", "tanh", "zero_sum"], Field(description="w of equation 13, or one of its two variants")
    ] = "max_abs"

    @property
    def marks(self) -> dict[str, bool]:
        """Whether AM, TC and DP are on, for the marks in Table 2."""
        return {"AM": True, "TC": self.clip_threshold is not None, "DP": self.direction_preserving}

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """The quantities s, m (with the clipped m̄), w if DP is on, and the token advantages."""
        threshold = self.clip_threshold
        s = "log-probability of the token if the policy is told the answer, minus that under the initial policy"
        m = "s in standard deviations from its mean over the reasoning"
        if threshold is None:
            deviation = Quantity("m", "m\neq. 8, 9", about=(m,))
        else:
            band, clipped = (threshold, f"±τ = {threshold:g}"), f"m cut off at ±{threshold:g} and centred again"
            deviation = Quantity("m", "m, m̄\neq. 8, 9, 11", ("clipped", "m̄"), band, (m, clipped))
        panels = [Quantity("s", "s (nats)\neq. 7", about=(s,)), deviation]
        if self.direction_preserving:
            w = "m̄ within ±1: which way and how far the token's advantage is moved"
            panels.append(Quantity("w", "w\neq. 12, 13", about=(w,)))
        advantage = f"advantage\neq. {14 if self.direction_preserving else 10}"
        return (*panels, Quantity("advantage", advantage, about=("of the token, in the loss",)))

    @property
    def needs(self) -> dict[str, str]:
        """The log-probabilities of the initial policy, in s."""
        return super().needs | {"initial policy": "yes"}

    def identity(self) -> dict[str, Any]:
        """Return the settings that determine a result; `bound` has no effect if DP is off."""
        settings = super().identity()
        if not self.direction_preserving:
            del settings["bound"]
        return settings

    def signal(self, responses: Responses) -> "Tensor":
        """Return s of equation 7 (B, T), which is undefined outside the prefix."""
        conditioned = [
            answer_conditioned_prompt(responses.tokenizer, rollout.question, rollout.answer)
            for rollout in responses.rollouts
        ]
        return responses.logps(conditioned) - responses.logps(policy="initial")

    def token_credit(self, responses: Responses) -> TokenCredit:
        """Return Â_t of equation 10 or 14, from the signal s of equation 7."""
        from generalthinker.credit import modulate

        signal = self.signal(responses)
        modulation = modulate(
            responses.advantages,
            signal,
            responses.prefix_mask,
            strength=self.modulation_strength,
            clip_threshold=self.clip_threshold,
            direction_preserving=self.direction_preserving,
            bound=self.bound,
        )
        quantities = {"s": signal, "m": modulation.m, "clipped": modulation.clipped}
        if modulation.weights is not None:
            quantities["w"] = modulation.weights
        shares = {
            "modulation/clip_ratio": modulation.clip_ratio,
            "modulation/sign_flip_ratio": modulation.sign_flip_ratio,
        }
        return TokenCredit(modulation.advantages, shares, quantities)
