"""What the figures of a part mean: passed, or what is wrong and what to do about it."""

import math
from typing import Any

from generalthinker.config.training import TrainingSettings
from generalthinker.metrics import more_than_noise
from generalthinker.training.gpu_check.outcome import SET_UP, Part

CAPABILITY = [8, 0]  # the first with bfloat16 arithmetic: A100
FREE = 0.9  # share of a GPU's memory that nobody else may use
MORE_THAN_EXPECTED = 1.5  # peak memory over the arithmetic
MOST_TOLD = 6


def gpus(name: str, found: dict[str, Any], training: TrainingSettings) -> Part:
    """Judge what `machine.describe_gpus` returned."""
    versions = f"torch {found['torch']}, CUDA {found['cuda'] or '–'}, driver {found['driver'] or '–'}"
    if not found["gpus"]:
        problem = f"; {found['problem']}" if "problem" in found else ""
        return Part(name, "failed", f"no GPU: {versions}{problem}", _without_gpu(found), found)
    first = found["gpus"][0]
    seen = f"{len(found['gpus'])} × {first['name']}, {first['total_bytes'] / 1e9:.0f} GB; {versions}"
    for gpu in found["gpus"]:
        if training.precision == "bf16" and gpu["capability"] < CAPABILITY:
            seen += f"; compute capability {'.'.join(map(str, gpu['capability']))}"
            advice = "bfloat16 needs 8.0 (A100 and newer): ask for another gpu_model in slurm/config.yaml"
            return Part(name, "failed", seen, advice, found)
        if gpu["free_bytes"] < FREE * gpu["total_bytes"]:
            seen += f"; only {_gb(gpu['free_bytes'])} GB are free"
            advice = "another process uses this GPU: nvidia-smi shows it; ask the cluster for a GPU of your own"
            return Part(name, "failed", seen, advice, found)
    if not found["multiplies"]:
        advice = "this GPU computes wrongly: tell those who run the cluster"
        return Part(name, "failed", f"{seen}; a product of two matrices is wrong", advice, found)
    return Part(name, "passed", seen, figures=found)


def _without_gpu(found: dict[str, Any]) -> str:
    if found["cuda"] is None:
        return f"this torch is built without CUDA; on a machine with GPUs: {SET_UP}"
    if found["driver"] is None:
        return "this machine has no NVIDIA driver; on a GPU node: snakemake --profile slurm gpu_check"
    return (
        "there is a driver: compare what nvidia-smi shows with CUDA_VISIBLE_DEVICES and with `gpu` in "
        "slurm/config.yaml, and the driver's CUDA version with torch's"
    )


def versions(name: str, lock: str, compared: int, others: list[str]) -> Part:
    """Judge the installed versions against the pins of `lock`."""
    figures = {"lock": lock, "compared": compared, "others": others}
    if not others:
        return Part(name, "passed", f"{compared} packages as pinned in {lock}", figures=figures)
    return Part(name, "failed", f"not as pinned in {lock}: {_some(others)}", SET_UP, figures)


def imports(name: str, errors: dict[str, str | None], seconds: float) -> Part:
    """Judge the imports: module → the error, None if it was imported."""
    broken = [f"{module}: {error}" for module, error in errors.items() if error]
    figures = {"errors": errors, "seconds": seconds}
    if not broken:
        return Part(name, "passed", f"{len(errors)} packages in {seconds:.0f} s", figures=figures)
    advice = f"{SET_UP}; try one by hand: python -c 'import {broken[0].partition(':')[0]}'"
    return Part(name, "failed", _some(broken), advice, figures)


def model(name: str, found: dict[str, Any], folder: str) -> Part:
    """Describe the model that was prepared."""
    kind = f"random weights, because {folder} is not there" if found["random"] else folder
    return Part(name, "passed", f"{found['parameters'] / 1e9:.3g} billion parameters: {kind}", figures=found)


def step(name: str, found: dict[str, Any], training: TrainingSettings) -> Part:
    """Judge a step on given responses: its gradient, its memory against the GPU and the arithmetic, its attention."""
    scoring, update, peak = found["scoring_seconds"], found["update_seconds"], found["peak_bytes"]
    expected = sum(found["expected_bytes"].values())
    seen = (
        f"{scoring + update:.2f} s (scoring {scoring:.2f}, update {update:.2f}), "
        f"{found['training_tokens_per_second']:,.0f} tokens/s; at most {_gb(peak)} GB, expected {_gb(expected)}"
    )
    share = training.vllm_memory_share if training.rollout_engine == "vllm" else 0.0
    room = found.get("device_bytes", math.inf) * (1 - share)
    used = found.get("used_bytes", 0)
    if "device_bytes" in found:
        seen += f", {_gb(used)} with CUDA's own of {_gb(room)}; attention: {found['attention']}"
    if not found["gradient_norm"] > 0:
        advice = "no gradient reaches the adapter: look at training.lora.target_modules"
        return Part(name, "failed", f"{seen}; gradient norm {found['gradient_norm']}", advice, found)
    if used > room:
        advice = (
            f"this does not fit beside the rollout engine's share of {share:g}: lower training.micro_batch_size or "
            "training.vllm_memory_share, or take larger GPUs (docs/cluster.md, How many GPUs for a run)"
        )
        return Part(name, "failed", seen, advice, found)
    if peak > MORE_THAN_EXPECTED * expected:
        parts = ", ".join(f"{part} {_gb(size)}" for part, size in found["expected_bytes"].items())
        advice = (
            f"more than {MORE_THAN_EXPECTED} × the arithmetic (GB: {parts}), which does no harm where it fits: look at "
            "the attention, training.gradient_checkpointing and training.group_by_length"
        )
        return Part(name, "warning", seen, advice, found)
    if found.get("attention") == "math":
        advice = (
            "attention uses no fused kernel, which costs time and memory: compare torch with envs/cuda.lock, and keep "
            "training.precision: bf16 and training.group_by_length: true"
        )
        return Part(name, "warning", seen, advice, found)
    return Part(name, "passed", seen, figures=found)


def rollouts(name: str, found: dict[str, Any], training: TrainingSettings) -> Part:
    """Judge a step with sampled rollouts: the engine's log-probabilities against the trainer's."""
    seen = f"{found['rollout_seconds']:.2f} s, {found['rollout_tokens_per_second']:,.0f} tokens/s"
    if "device_bytes" in found:
        seen += f"; {_gb(found['used_bytes'])} of {_gb(found['device_bytes'])} GB in use with the engine"
    if "kl" not in found:
        return Part(name, "passed", f"{seen}; the trainer samples by itself: nothing to compare", figures=found)
    kl, first, ignored = found["kl"], found["kl_without_adapter"], found["kl_if_ignored"]
    seen += (
        f"; KL to the trainer {kl:.1e} nats/token ({first:.1e} without an adapter, {ignored:.1e} if the engine ignored "
        f"it), largest difference {found['largest_difference']:.2g}"
    )
    if more_than_noise(first, None):
        advice = (
            "engine and trainer differ although they have the same weights: compare vllm and transformers with the "
            "lock; until it is solved, training.rollout_engine: transformers, which is many times slower"
        )
        return Part(name, "failed", seen, advice, found)
    if more_than_noise(kl, first):
        advice = (
            "the engine does not sample from the policy that is trained; training.rollout_weights is "
            f"{training.rollout_weights}: try another, and read docs/method.md, Colocated vLLM"
        )
        return Part(name, "failed", seen, advice, found)
    if not more_than_noise(ignored, first):
        advice = "the adapter changes too little here to tell whether the engine uses it"
        return Part(name, "warning", seen, advice, found)
    return Part(name, "passed", seen, figures=found)


def processes(name: str, found: dict[str, Any]) -> Part:
    """Judge a step that several processes made together."""
    seen = f"{found['processes']} processes, {found['backend']}"
    if not found["sum_is_right"]:
        advice = "the GPUs do not add up numbers correctly: run it again with NCCL_DEBUG=INFO, NCCL_P2P_DISABLE=1"
        return Part(name, "failed", f"{seen}: a sum over the processes is wrong", advice, found)
    if not found["same_adapter"]:
        advice = "the processes train different adapters: do not train with several GPUs, and report this"
        return Part(name, "failed", f"{seen}: their adapters differ after a step", advice, found)
    return Part(
        name,
        "passed",
        f"{seen}: sums and adapters agree after {found['update_seconds']:.2f} s of update",
        figures=found,
    )


def _some(texts: list[str]) -> str:
    more = f" and {len(texts) - MOST_TOLD} more" if len(texts) > MOST_TOLD else ""
    return "; ".join(texts[:MOST_TOLD]) + more


def _gb(size: float) -> str:
    return f"{size / 1e9:.3g}"
