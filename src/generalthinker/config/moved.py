"""Keys of earlier versions: the error for such a key shows the YAML to write instead."""

from typing import Any

PARTS = ("reward", "advantage_modulation", "token_clipping", "direction_preserving")
FROM_TRAINING = ("modulation_strength", "clip_threshold", "bound")


def moved_keys(content: dict[str, Any]) -> list[str]:
    """Return one message per outdated key, each with the YAML that now has the same effect."""
    methods, training = _section(content, "methods"), _section(content, "training")
    problems = []
    for name, method in methods.items():
        old = [key for key in PARTS if isinstance(method, dict) and "family" not in method and key in method]
        if old:
            problems.append(
                f"methods.{name}: {', '.join(old)} are now a method family; write instead\n"
                f"    methods:\n      {name}: {_method(method, training)}"
            )
    for key in (*FROM_TRAINING, "reward_floor"):
        if key in training:
            families = ("generalthinker",) if key in FROM_TRAINING else ("generalthinker", "likelihood_rl")
            using = [
                name
                for name, method in methods.items()
                if isinstance(method, dict) and method.get("family") in families and method.get(key, ...) is not None
            ]
            lines = [f"      {name}: {{{key}: {training[key]}}}" for name in using or ["GeneralThinker"]]
            problems.append(
                f"training.{key} is now a setting of each method that uses it; write instead (merged with the "
                "method's other settings)\n    methods:\n" + "\n".join(lines)
            )
    data, benchmarks = _section(content, "data"), _section(content, "benchmarks")
    if data and benchmarks and "decontaminate_against" not in data:
        problems.append(
            "data.decontaminate_against: missing; the mixture is compared with the benchmarks that are listed here, so "
            "that a benchmark added later does not change it; write\n"
            f"    data:\n      decontaminate_against: [{', '.join(benchmarks)}]"
        )
    return problems


def _method(old: dict[str, Any], training: dict[str, Any]) -> str:
    """Return an old entry of `methods` in its present form, on one line."""
    if not old.get("advantage_modulation"):
        family = {None: "base", "binary": "binary_rl", "likelihood": "likelihood_rl"}.get(old.get("reward"))
        return f"{{family: {family or old['reward']}}}"
    clip = training.get("clip_threshold", 2.0) if old.get("token_clipping") else "null"
    bounded = str(bool(old.get("direction_preserving"))).lower()
    strength = training.get("modulation_strength", 0.1)
    return (
        f"{{family: generalthinker, modulation_strength: {strength}, clip_threshold: {clip}, "
        f"direction_preserving: {bounded}}}"
    )


def _section(content: dict[str, Any], name: str) -> dict[str, Any]:
    section = content.get(name)
    return section if isinstance(section, dict) else {}
