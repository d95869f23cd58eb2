"""A training with General-Reasoner: two real vLLM engines in one process on the CPU give rollouts and verdicts.

    python tests/vllm_verifier.py <frozen settings> <run> <verifier's folder> <report.json>

The report has the verifier's prompts with what vLLM and what transformers answered, and what vLLM answered with no
time, to a prompt longer than its context, and afterwards.
"""

import json
import sys
from pathlib import Path

import torch

import tiny
from generalthinker.config.load import load_frozen
from generalthinker.methods.general_reasoner import ROLE
from generalthinker.training.further_models import LoadedModels, ServedModels
from generalthinker.vllm_environment import set_vllm_environment

OPTIONS = {"max_new_tokens": 40, "seconds": 60.0}


def main(settings_file, name, folder, report):
    """Train, ask again, and write the report."""
    settings = load_frozen(settings_file)
    asked: dict[str, str | None] = {}
    engines = []
    ask = ServedModels.ask

    def recorded(models, role, prompts, **options):
        answers = ask(models, role, prompts, **options)
        asked.update(zip(prompts, answers, strict=True))
        engines[:] = [models]
        return answers

    ServedModels.ask = recorded
    tiny.train(settings, settings.run(name))
    [served], some = engines, [*asked][:3]
    loaded = LoadedModels({ROLE: Path(folder)}, torch.device("cpu"), torch.float32)
    found = {
        "prompts": [*asked],
        "served": [*asked.values()],
        "loaded": loaded.ask(ROLE, [*asked], **OPTIONS),
        "no time": ask(served, ROLE, some, **OPTIONS | {"seconds": 0.0}),
        "too long": ask(served, ROLE, ["7 " * 5000, some[0]], **OPTIONS),
        "afterwards": ask(served, ROLE, some, **OPTIONS),
    }
    Path(report).write_text(json.dumps(found))


if __name__ == "__main__":
    set_vllm_environment()
    torch.set_num_threads(1)
    main(*sys.argv[1:])
