"""A training in one or more processes whose rollouts are recorded, or replayed from a record; run by torchrun.

    torchrun --nproc-per-node N tests/recorded_training.py <settings> <run>[,<run>…] <report.json> [<record.json>]

Sampling differs between process counts, for every process draws its own random numbers; all else must not. The report
lists, per run, optimizer step and response, prompt, place in the group, tokens and advantages.
"""

import json
import os
import sys
from pathlib import Path

import torch
from accelerate.utils import gather_object

import tiny
from generalthinker.config.load import load_frozen
from generalthinker.training.trainer import MethodTrainer as Trainer
from sample_methods import with_samples


def main(settings_file, names, report, record=None):
    """Train, then write the report from the main process."""
    settings = with_samples(load_frozen(settings_file))
    replayed = {key(row): row["tokens"] for row in json.loads(Path(record).read_text())} if record else {}
    rows, runs = [], names.split(",")
    generate, score = Trainer._generate_single_turn, Trainer._generate_and_score_completions

    def places(trainer, count):
        """Return what identifies each of this process's responses, prompt aside: step and place in the group."""
        first = trainer.accelerator.process_index * count
        return [(trainer.state.global_step, (first + i) % settings.training.group_size) for i in range(count)]

    def recorded(trainer, prompt_ids, *rest):
        if not trainer.model.training:
            return generate(trainer, prompt_ids, *rest)
        at = places(trainer, len(prompt_ids))
        keys = [(runs[0], *here, tuple(prompt)) for here, prompt in zip(at, prompt_ids, strict=True)]
        responses = [replayed[key] for key in keys] if replayed else generate(trainer, prompt_ids, *rest)[0]
        rows.extend(
            {"run": run, "step": step, "place": place, "prompt": prompt, "tokens": tokens}
            for (run, step, place, prompt), tokens in zip(keys, responses, strict=True)
        )
        return responses, None

    def reported(trainer, inputs):
        output = score(trainer, inputs)
        for row, advantages in zip(rows[-len(inputs) :], output["advantages"].tolist(), strict=True):
            row["advantages"] = advantages[: len(row["tokens"])] if isinstance(advantages, list) else [advantages]
        return output

    Trainer._generate_single_turn, Trainer._generate_and_score_completions = recorded, reported
    while runs:
        tiny.train(settings, settings.run(runs[0]), int(os.environ["WORLD_SIZE"]))
        runs.pop(0)
    everything = gather_object(rows)
    if os.environ["RANK"] == "0":
        Path(report).write_text(json.dumps(everything))


def key(row):
    return row["run"], row["step"], row["place"], tuple(row["prompt"])


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
