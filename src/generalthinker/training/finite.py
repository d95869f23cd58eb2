"""Numbers that are no longer finite stop the training before they reach a weight, and say where they came from."""

from torch import Tensor

from generalthinker.errors import StageError

SHOWN_PROMPTS = 8
SHOWN_CHARACTERS = 200


class NonFiniteError(StageError, RuntimeError):
    """A log-probability, reward or loss is NaN or infinite; the weights are those of the step before."""


def require_finite(values: Tensor, what: str, step: int, prompts: list[str]) -> None:
    """Raise NonFiniteError unless all `values` are finite: (B, …), one prompt a row, or a scalar with all of them."""
    finite = values.isfinite()
    if finite.all():
        return
    if values.dim():
        bad = (~finite).flatten(1).any(dim=1).tolist() if values.dim() > 1 else (~finite).tolist()
        prompts = [prompt for prompt, is_bad in zip(prompts, bad, strict=True) if is_bad]
    distinct = list(dict.fromkeys(prompts))
    shown = "".join(f"\n  {prompt[:SHOWN_CHARACTERS]!r}" for prompt in distinct[:SHOWN_PROMPTS])
    raise NonFiniteError(
        f"step {step}: {what} is not finite (NaN or infinite); the optimizer step was not taken.\n"
        f"Prompts ({min(len(distinct), SHOWN_PROMPTS)} of {len(distinct)}):{shown}\n"
        "Usual causes: a learning rate too high, or fp32 numbers lost in bf16. The last checkpoint is good."
    )
