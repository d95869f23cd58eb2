"""What the methods of other papers share: their two forms, and advantages that are not TRL's.

docs/rivals.md says for each of them what is published and what is a choice made here.
"""

import statistics
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from generalthinker.methods.method import Method, Responses, TokenCredit

VERL_EPSILON = 1e-6  # what verl adds to a group's standard deviation; RLPR and General-Reasoner are trained with it


class Rival(Method):
    """A method of another paper, on this project's rollouts: its reasoning and answer tags are text and box here."""

    form: Annotated[
        Literal["matched", "own"],
        Field(
            description="matched: KL, clipping, loss normalisation and sampling of the section `training`; own: those "
            "that the method's authors use"
        ),
    ] = "matched"

    OWN_TRAINING: ClassVar[dict[str, Any]] = {}  # what `own` replaces, see `training_overrides`

    @property
    def own(self) -> bool:
        """Whether the method runs as its authors published it."""
        return self.form == "own"

    @property
    def training_overrides(self) -> dict[str, Any]:
        """The settings of `training`, and further options of TRL's GRPOConfig, that the own form replaces."""
        return self.OWN_TRAINING if self.own else {}


def z_scores(values: list[float], epsilon: float = 1e-4) -> list[float]:
    """Return the values of one group, centred and divided by (sample standard deviation + `epsilon`)."""
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    return [(value - mean) / (deviation + epsilon) for value in values]


def leave_one_out(values: list[float]) -> list[float]:
    """Return each value minus the mean of the group's other values."""
    count, mean = len(values), statistics.fmean(values)
    return [(value - mean) * count / (count - 1) for value in values]


def reasoning_only(responses: Responses) -> TokenCredit:
    """Return the response's advantage on its reasoning and 0 after it, or on all tokens if it has no prefix."""
    mask = responses.prefix_mask
    trained = mask | ~mask.any(dim=1, keepdim=True)
    return TokenCredit(responses.advantages.unsqueeze(1) * trained, {}, {})
