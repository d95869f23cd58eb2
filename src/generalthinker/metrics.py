"""The metrics of the training history: the column of each, the name under which TRL logs it, its labels in figures."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """One column of `history.parquet`: `logged` is TRL's name; figures show `title` and `label` (with the unit)."""

    column: str
    logged: str
    title: str
    label: str


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
