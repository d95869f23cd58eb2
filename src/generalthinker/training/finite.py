"""Stop the training at the first NaN or infinite value, before it changes a weight, and report where it occurred."""

from torch import Tensor

from generalthinker.errors import StageError

SHOWN_PROMPTS = 8
SHOWN_CHARACTERS = 200


class NonFiniteError(StageError, RuntimeError):
    """A log-probability, reward or loss is NaN or infinite; the weights are still those of the previous step."""


def require_finite(values: Tensor, what: str, step: int, prompts: list[str]) -> None:
    """Raise NonFiniteError unless all `values` are finite.

    `values` is (B, …) with one prompt per row, or a scalar that depends on all `prompts`.
    """
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
        "Usual causes: the learning rate is too high, or bf16 is not precise enough. The last checkpoint is still good."
    )
