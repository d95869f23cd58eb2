"""The check's step with a real vLLM engine on the CPU, as it is and with engines that miss something.

    python tests/vllm_gpu_check.py <scratch folder> <report.json>

The report has the figures of each case: `synced`, as in a training; `first sync only`, where the engine keeps the first
adapter.
"""

import json
import sys
from pathlib import Path

import torch

import tiny
from generalthinker.config import load
from generalthinker.training.gpu_check.models import prepare
from generalthinker.training.gpu_check.step import measure
from generalthinker.training.start import prepare_vllm


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
    prepare_vllm(settings.training)  # before the next line imports TRL
    from generalthinker.training.colocated import ServedAdapter

    found = {}
    for case, sync in {"synced": ServedAdapter.sync, "first sync only": first_only(ServedAdapter.sync)}.items():
        ServedAdapter.sync = sync
        found[case] = measure(settings, run, folder, sample=True, replay=True, report=print)
    report.write_text(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*map(Path, sys.argv[1:]))
