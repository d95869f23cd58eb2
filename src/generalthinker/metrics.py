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
