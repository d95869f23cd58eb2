"""The check's step with a real vLLM engine on the CPU, as it is and with engines that miss something.

    python tests/vllm_gpu_check.py <scratch folder> <report.json>

The report has the figures of each case: `synced`, as in a training; `first sync only`, where the engine keeps the first
adapter.
"""

import functools
import json
import os
import sys
from pathlib import Path

os.environ |= {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}

import torch
import trl.generation.vllm_generation

import tiny
from generalthinker.config import load
from generalthinker.training.colocated import ServedAdapter
from generalthinker.training.gpu_check.models import prepare
from generalthinker.training.gpu_check.step import measure

trl.generation.vllm_generation.LLM = functools.partial(trl.generation.vllm_generation.LLM, enforce_eager=True)


def first_only(sync):
    """Return a `sync` that does nothing after its first call."""
    called = []
    return lambda served: called or called.append(sync(served))


def main(folder: Path, report: Path) -> None:
    """Measure both cases on a model with random weights and write the report."""
    entry = load([tiny.DEMO]).models["small"]
    prepare(entry, folder / "absent", folder / "model", torch.bfloat16)
    sizes = {"batch_size": 8, "micro_batch_size": 4, "max_completion_tokens": 64}
    settings = tiny.settings(folder, folder / "model", rollout_engine="vllm", precision="bf16", **sizes)
    [run] = settings.runs(tiny.choice("GeneralThinker"))
    found = {}
    for case, sync in {"synced": ServedAdapter.sync, "first sync only": first_only(ServedAdapter.sync)}.items():
        ServedAdapter.sync = sync
        found[case] = measure(settings, run, folder, sample=True, replay=True, report=print)
    report.write_text(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*map(Path, sys.argv[1:]))
