"""The metrics of the training history: the column of each, the name under which TRL logs it, its labels in figures."""

import statistics
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Metric:
    """One column of `history.parquet`: `logged` is TRL's name; figures show `title` and `label` (with the unit)."""

    column: str
    logged: str
    title: str
    label: str


BOXED = "completions/boxed"  # the name under which the trainer logs the share of responses with a boxed answer

# The columns of every run, in the order of the file. A column is empty if the run's method has no value for it.
COMMON = (
    Metric("loss", "loss", "Loss", "loss"),
    Metric("kl", "kl", "KL divergence", "KL to the initial policy (nats/token)"),
    Metric("entropy", "entropy", "Entropy", "policy entropy (nats/token)"),
    Metric("reward", "reward", "Reward", "mean reward"),
    Metric("reward_std", "reward_std", "Reward spread", "standard deviation of the rewards"),
    Metric("zero_std_share", "frac_reward_zero_std", "Groups with equal rewards", "share of groups"),
    Metric("completion_length", "completions/mean_length", "Response length", "completion length (tokens)"),
    Metric("completion_length_max", "completions/max_length", "Longest response", "completion length (tokens)"),
    Metric("truncated_share", "completions/clipped_ratio", "Truncated responses", "share of responses"),
    Metric("boxed_share", BOXED, "Boxed answers", "share of responses"),
    Metric("modulation/clip_ratio", "modulation/clip_ratio", "Clipped tokens", "share of reasoning tokens"),
    Metric("modulation/sign_flip_ratio", "modulation/sign_flip_ratio", "Sign flips", "share of reasoning tokens"),
    Metric("learning_rate", "learning_rate", "Learning rate", "learning rate"),
    Metric("grad_norm", "grad_norm", "Gradient norm", "norm before clipping"),
    Metric("tokens", "num_tokens", "Tokens", "tokens processed so far"),
)

# The names under which the trainer logs these three. TRL uses the first two in its importance-sampling correction.
SAMPLING_DIFFERENCE = "sampling/sampling_logp_difference/mean"
SAMPLING_DIFFERENCE_MAX = "sampling/sampling_logp_difference/max"
SAMPLING_KL = "sampling/kl"

# The columns that runs with vLLM rollouts have, after those of COMMON: the rollout engine against the trainer.
VLLM = (
    Metric(
        "sampling/logp_difference",
        SAMPLING_DIFFERENCE,
        "Rollout engine against trainer",
        "mean difference of log-probabilities (nats)",
    ),
    Metric(
        "sampling/logp_difference_max",
        SAMPLING_DIFFERENCE_MAX,
        "Rollout engine against trainer, largest",
        "largest difference of log-probabilities (nats)",
    ),
    Metric("sampling/kl", SAMPLING_KL, "Rollout engine against trainer", "KL to the trainer's policy (nats/token)"),
)

# The KL between rollout engine and trainer that is never worth a warning, that always is, and the ratio to the first
# step's that is. In the first step the adapter is 0 and both have the same weights, so that its KL is rounding alone.
SAMPLING_KL_NEVER, SAMPLING_KL_ALWAYS, SAMPLING_KL_RATIO = 1e-6, 1e-2, 5.0


def more_than_noise(kl: float, first: float | None) -> bool:
    """Return whether `kl`, a step's KL between rollout engine and trainer (nats/token), is more than rounding makes.

    `first` is the KL of the run's first step, None if that is not known.
    """
    expected = SAMPLING_KL_ALWAYS if first is None else min(SAMPLING_KL_RATIO * first, SAMPLING_KL_ALWAYS)
    return not kl <= max(expected, SAMPLING_KL_NEVER)


# A training without a signal is named from its third step on. What counts are the means of some steps, because single
# steps vary.
SIGNAL_STEPS, SIGNAL_STEPS_LATEST = 3, 5
LEAST_BOXED, MOST_TRUNCATED, MOST_EQUAL = 0.05, 0.95, 0.99


def nothing_to_learn(rows: Collection[dict[str, Any]]) -> list[str]:
    """Return why a training with these rows of its history learns nothing, and what to change; empty if it may learn.

    A row without a column, as in histories of earlier versions, is left out of that column's mean.
    """

    def mean(column: str) -> float | None:
        values = [row[column] for row in rows if isinstance(row.get(column), int | float)]
        return statistics.fmean(values) if len(values) >= SIGNAL_STEPS else None

    found = []
    truncated, boxed, equal = mean("truncated_share"), mean("boxed_share"), mean("zero_std_share")
    if truncated is not None and truncated > MOST_TRUNCATED:
        found.append(
            f"{truncated:.0%} of the responses reach the token limit, and these do not enter the loss. Set a higher "
            "training.max_completion_tokens, or check that the model ends its turn with its tokenizer's end token"
        )
    if boxed is not None and boxed < LEAST_BOXED:
        found.append(
            f"{boxed:.0%} of the responses have a \\boxed{{}} answer, and others get the lowest reward. Use a model "
            "that follows the prompt (an instruction-tuned one, with its chat template), or train it on boxed "
            "solutions before"
        )
    if equal is not None and equal > MOST_EQUAL:
        reward = mean("reward")
        found.append(
            f"in {equal:.0%} of the groups all rewards are equal (mean {reward:.3g}), so that their advantages are 0. "
            "Use questions that the model answers rightly sometimes but not always, or a larger training.group_size"
        )
    return found
