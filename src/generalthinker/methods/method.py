"""The base class of methods: typed settings, knobs that appear in run names, and hooks that the trainer calls.

A method family is one class in one file of this package. Its fields are its settings in YAML; those with a `Knob`
can be swept, and their values are part of the run's name. At every optimizer step, the trainer calls the hooks in this
order:

1. `score`: one value per response, computed from the responses of this process;
2. `rewards`: one reward per response, computed from the groups of all processes;
3. `advantages`: one advantage per response, or None for TRL's group normalisation (equations 1 and 2);
4. `answer_losses`: additional sequences whose negative log-likelihood is added to the loss, or None;
5. `token_credit`: one advantage per token, or None where every token has the response's advantage.

The trainer does not use a method whose `reward` is None. No method file imports a framework such as torch at module
level, because the settings, the tables and the status import these classes and must start quickly.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Self, Union, get_args, get_origin

from pydantic import Field

from generalthinker.metrics import Metric
from generalthinker.records import KnobValue
from generalthinker.rewards import Policy, Rollout, Scorer
from generalthinker.sections import Section

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Knob:
    """Marks a field as a knob: `suffix` names it in a run's name, `symbol` in headings, `label` on axes."""

    suffix: str
    symbol: str
    label: str


class ScoredRollout(NamedTuple):
    """One response and what `score` returned for it."""

    rollout: Rollout
    score: Any


@dataclass(frozen=True, slots=True)
class Step:
    """All responses of one optimizer step, the same on every process.

    `number` counts the steps from 1; `groups` are P prompts with G responses each. `state` holds the JSON values
    that the method keeps between steps; it is saved with every checkpoint. The method writes the values that it logs to
    `metrics`, under the names in `METRICS`.
    """

    number: int
    groups: list[list[ScoredRollout]]
    state: dict[str, Any]
    metrics: dict[str, float]


class AnswerLoss(NamedTuple):
    """A term of the loss: `weight` times the negative log-likelihood (nats) of `target` after `context`."""

    context: str
    target: str
    weight: float


class SlowPolicy(NamedTuple):
    """A slowly updated copy of the policy: every `every` steps it becomes (1 - rate) * slow + rate * current.

    Both are adapters on the same model; the average is taken over the adapter's matrices.
    """

    rate: float
    every: int


class TokenCredit(NamedTuple):
    """What `token_credit` returns.

    `advantages` (B, T). `shares` are scalars by metric name, each a share of the reasoning tokens. `quantities` are the
    tensors (B, T) that the walkthrough and the credit viewer show, by the names in `Method.quantities`.
    """

    advantages: "Tensor"
    shares: dict[str, "Tensor"]
    quantities: dict[str, "Tensor"]


class Quantity(NamedTuple):
    """One panel of the walkthrough: bars show `column`, marks show `overlay` (a column and its label).

    `band` is a value and its label: the range from -value to +value is shaded. `about` says in words what the column
    is, and what the overlay is.
    """

    column: str
    label: str
    overlay: tuple[str, str] | None = None
    band: tuple[float, str] | None = None
    about: tuple[str, ...] = ()


class Responses:
    """This process's responses of one step, as `token_credit` sees them: B responses, T padded completion tokens."""

    step: int
    tokenizer: Any
    rollouts: list[Rollout]
    advantages: "Tensor"  # (B,)
    prefix_mask: "Tensor"  # (B, T), True on reasoning tokens
    seeds: list[int]  # one per response, from the run's seed, the step, and the response's place among all of the step

    def logps(self, prompts: list[str] | None = None, policy: Policy = "current") -> "Tensor":
        """Return the log-probabilities (nats) of the completions' tokens (B, T) under `policy`, without gradient.

        The completions are scored after `prompts`, or after the prompts that they were sampled from (None). Values
        outside the prefix are undefined.
        """
        raise NotImplementedError

    def entropies(self) -> "Tensor":
        """Return the current policy's entropy (nats) at each completion token (B, T), without gradient."""
        raise NotImplementedError

    def of_all_processes(self, values: "Tensor") -> "Tensor":
        """Return the `values` (N,) of all processes, one process after the other; every process must call this."""
        raise NotImplementedError


class Method(Section):
    """A method family. Subclasses set `family`, `reward` and `VERSION`, and override the hooks that they need."""

    family: str

    VERSION: ClassVar[int] = 1  # to be increased whenever a change of the code changes results
    METRICS: ClassVar[tuple[Metric, ...]] = ()  # columns that only this family adds to the history
    reward: ClassVar[str | None] = None  # the reward's name in reports; None: the method is not trained

    @classmethod
    def knobs(cls) -> dict[str, Knob]:
        """Return the knobs by field, in the order of the fields."""
        return {
            name: knob for name, field in cls.model_fields.items() for knob in field.metadata if isinstance(knob, Knob)
        }

    @classmethod
    def knob_type(cls, name: str) -> Any:
        """Return the type of a knob's values, with its limits; None, which turns the knob off, is excluded."""
        field = cls.model_fields[name]
        annotation: Any = field.annotation
        if get_origin(annotation) is not Literal and (options := get_args(annotation)):
            annotation = Union[tuple(option for option in options if option is not type(None))]  # noqa: UP007
        return Annotated[annotation, *field.metadata, Field(description=field.description)]

    @property
    def trained(self) -> bool:
        """Whether runs of this method are trained."""
        return self.reward is not None

    @property
    def knob_values(self) -> tuple[KnobValue, ...]:
        """The knobs that are not off (None), for the run's name."""
        values = ((name, knob, getattr(self, name)) for name, knob in self.knobs().items())
        return tuple(KnobValue(name, knob.suffix, value) for name, knob, value in values if value is not None)

    def with_knobs(self, values: dict[str, Any]) -> Self:
        """Return this method with other values of some knobs, which are checked like the settings."""
        return type(self).model_validate({**self.model_dump(), **values}) if values else self

    @property
    def marks(self) -> dict[str, bool]:
        """Whether each part of the method is on, by the heading under which a table marks it."""
        return {}

    @property
    def models(self) -> dict[str, str]:
        """Additional models that the method needs: for each role, an entry of the settings' `models`."""
        return {}

    @property
    def slow_policy(self) -> SlowPolicy | None:
        """The slowly updated policy that the method scores with, if it needs one."""
        return None

    @property
    def needs(self) -> dict[str, str]:
        """What a training needs besides the policy and its questions, by heading; empty text where it does not.

        `verifier` is "rules" or "model". `initial policy` and `slow policy` say whether the method's own quantities
        need a pass of that policy; the KL term of the loss, which needs one too, is left aside.
        """
        return {"verifier": "", "initial policy": "", "slow policy": "yes" if self.slow_policy else ""}

    @property
    def kl_anchor(self) -> Policy:
        """The policy that the KL term of the loss keeps the trained policy near."""
        return "initial"

    @property
    def training_overrides(self) -> dict[str, Any]:
        """The settings of `training`, and further options of TRL's GRPOConfig, that runs of this method replace."""
        return {}

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """The panels of the walkthrough, the token advantages last; empty if the method has no token-level credit."""
        return ()

    @property
    def further_settings(self) -> dict[str, Any]:
        """The settings in `identity` that are neither knobs nor booleans; inherited ones come last."""
        own = [*type(self).__annotations__]
        names = [name for name in self.identity() if name in type(self).model_fields and name != "family"]
        names.sort(key=lambda name: name not in own)
        values = {name: getattr(self, name) for name in names if name not in self.knobs()}
        return {name: value for name, value in values.items() if not isinstance(value, bool)}

    def identity(self) -> dict[str, Any]:
        """Return the settings that decide a run's result; versions of the code are recorded apart from settings."""
        return self.model_dump()

    def score(self, rollouts: list[Rollout], scorer: Scorer) -> list[Any]:
        """Return one value per response of this process: a number, or a value that `rewards` turns into a number."""
        raise NotImplementedError(f"{type(self).__name__} is not trained")

    def rewards(self, step: Step) -> list[list[float]]:
        """Return the rewards (P, G); by default, the scores."""
        return [[response.score for response in group] for group in step.groups]

    def advantages(self, step: Step, rewards: list[list[float]]) -> list[list[float | None]] | None:
        """Return the advantages (P, G), with None for a response that is left out of the loss.

        Return None, the default, to use TRL's advantages: the rewards centred and scaled within their group.
        """
        return None

    def answer_losses(self, step: Step, rewards: list[list[float]]) -> list[list[AnswerLoss | None]] | None:
        """Return one additional term of the loss per response (P, G), with None for a response without a term.

        Return None, the default, for no additional loss. The terms are averaged over all responses, like the policy's
        loss.
        """
        return None

    def token_credit(self, responses: Responses) -> TokenCredit | None:
        """Return the advantages of the tokens; None, the default, gives every token the response's advantage."""
        return None
