"""A training whose rollouts come from a real vLLM engine on the CPU, run as a script in a process of its own.

    python tests/vllm_training.py <frozen settings> <run> <report.json> [no-sync] [stop=<step>]

The report has, per rollout, the largest distance between what the engine said a sampled token's log-probability was and
what the policy says; some samples of one prompt before the first step; and whether the base weights are what they were.
"""

import functools
import json
import os
import signal
import sys
from pathlib import Path

import torch

import tiny
from generalthinker.config.load import load_frozen
from generalthinker.prompts import question_prompt
from generalthinker.training.trainer import MethodTrainer as Trainer
from generalthinker.vllm_environment import set_vllm_environment

SOME_QUESTION, SAMPLES = "What is 2 + 3?", 8


def main(settings_file, name, report, *options):
    """Train and write the report, also when the training is stopped."""
    settings = load_frozen(settings_file)
    gaps, samples, weights, trainers = [], [], {}, []
    stop = next((int(option.partition("=")[2]) for option in options if option.startswith("stop=")), None)
    generate = Trainer._generate_single_turn

    def base_weights(trainer):
        return {name: p.detach().clone() for name, p in trainer.model.named_parameters() if "lora_" not in name}

    def compared(trainer, prompt_ids, *rest):
        if not trainers:
            trainers.append(trainer)
            weights.update(base_weights(trainer))
            with torch.random.fork_rng([]):
                prompt = question_prompt(trainer.tokenizer, SOME_QUESTION)
                ids = trainer.tokenizer(prompt, add_special_tokens=False)["input_ids"]
                samples.extend(generate(trainer, [ids] * SAMPLES, *rest)[0])
            if "no-sync" in options:
                trainer.vllm_generation.sync_weights = lambda: None
        completion_ids, logps = generate(trainer, prompt_ids, *rest)
        if trainer.model.training:
            gaps.append(max(map(functools.partial(gap, trainer), prompt_ids, completion_ids, logps)))
            if trainer.state.global_step + 1 == stop:
                os.kill(os.getpid(), signal.SIGTERM)
        return completion_ids, logps

    Trainer._generate_single_turn = compared
    try:
        tiny.train(settings, settings.run(name))
    finally:
        after = base_weights(trainers[0])
        unchanged = all(torch.equal(weights[name], after[name]) for name in weights)
        Path(report).write_text(json.dumps({"gaps": gaps, "samples": samples, "base_unchanged": unchanged}))


def gap(trainer, prompt, completion, sampled):
    """Return the largest distance between the log-probabilities that engine and policy give a response's tokens."""
    with torch.no_grad():
        logits = trainer.model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
    logps = logits.log_softmax(-1).gather(1, torch.tensor(completion).unsqueeze(1)).squeeze(1)
    return (logps - torch.tensor(sampled)).abs().max().item()


if __name__ == "__main__":
    set_vllm_environment()
    torch.set_num_threads(1)
    main(*sys.argv[1:])
