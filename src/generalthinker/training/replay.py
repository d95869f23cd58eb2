"""Measuring a training step on given responses: their lengths, their texts, the memory and the attention kernel.

benchmarks/training_step.py and the check of a GPU use this; no training does.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


def log_normal_lengths(mean: float, limit: int, count: int, truncated: int) -> list[int]:
    """Return `count` response lengths in tokens with a given mean, of which `truncated` are the limit itself.

    The others are log-normal and below the limit. The deviation of their logarithms is 0.5; 0.46 was measured on
    sampled responses of SmolLM2-135M (config/laptop.yaml).
    """
    rng, deviation = random.Random(7), 0.5
    drawn = [rng.lognormvariate(math.log(mean) - deviation**2 / 2, deviation) for _ in range(count - truncated)]
    lengths = [max(4, min(limit - 1, int(length))) for length in drawn] + [limit] * truncated
    rng.shuffle(lengths)
    return lengths


def completions(tokenizer, rows: Sequence[Mapping[str, Any]], lengths: list[int], limit: int) -> list[list[int]]:
    """Return the tokens of one response per length, made of the `solution` and the `answer` of some of the rows.

    A response is worked solutions, then a box and an end; a response at the limit has neither box nor end.
    """
    rng = random.Random(0)
    written = []
    for length in lengths:
        text = ""
        while len(ids := tokenizer(text)["input_ids"]) < length:
            text += rng.choice(rows)["solution"].partition("\\boxed")[0]
        ending = [*tokenizer(f"\\boxed{{{rng.choice(rows)['answer']}}}")["input_ids"], tokenizer.eos_token_id]
        written.append(ids[:length] if length >= limit else [*ids[: max(1, length - len(ending))], *ending])
    return written


def peak_memory(work: Callable[[], object]) -> int:
    """Return the most bytes that `work` has allocated at a time, above what was allocated before it."""
    if torch.cuda.is_available():
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    assert profiled.profiler is not None
    assert profiled.profiler.kineto_results is not None
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(accumulate(event.nbytes() for event in events), default=0)


def attention_kernel(work: Callable[[], object]) -> str:
    """Return which attention kernels `work` launches on the GPU, "math" if none of the fused ones."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        work()
    return kernels_among([event.key for event in profiled.key_averages()])


def kernels_among(names: list[str]) -> str:
    """Return the kinds of fused attention among a GPU's kernels by name; "unknown" where there are no names.

    >>> kernels_among(["ampere_bf16_gemm", "pytorch_flash::flash_fwd_kernel"]), kernels_among(["gemm", "softmax"])
    ('flash', 'math')
    """
    kinds = {
        kind
        for name in map(str.lower, names)
        for kind in ("flash", "efficient", "cudnn")
        if kind in name and any(word in name for word in ("attention", "fmha", "sdp", "flash"))
    }
    return " and ".join(sorted(kinds)) or ("math" if names else "unknown")
