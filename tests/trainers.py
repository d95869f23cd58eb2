"""Trainers of tiny runs, and what tests look at in them: adapters, gradients and rollouts."""

import torch
from transformers import TrainerCallback

import tiny
from generalthinker.training.run import build_trainer, grpo_arguments


def make(folder, model, method, **training):
    """Return settings, run and trainer of the tiny model by `method`."""
    settings = tiny.settings(folder, model, **training)
    [run] = settings.runs(tiny.choice(method))
    return settings, run, build_trainer(settings, run, grpo_arguments(settings, run, 1, str(folder / "checkpoints")))


def lora(trainer, kind="data"):
    """Return layer → (A, B) of the adapter, or of its gradients."""
    layers = {}
    for name, parameter in trainer.model.named_parameters():
        if "lora_" in name:
            layer = name.removeprefix("base_model.model.").partition(".lora_")[0]
            layers.setdefault(layer, {})["A" if "lora_A" in name else "B"] = getattr(parameter, kind).detach().clone()
    return {layer: (parts["A"], parts["B"]) for layer, parts in layers.items()}


def same(left, right):
    return all(torch.equal(a, b) for layer in left for a, b in zip(left[layer], right[layer], strict=True))


def move_adapter(trainer):
    """Give B values: a fresh adapter's zero B would hide KL, the signal and the gradient of A."""
    torch.manual_seed(11)
    for name, parameter in trainer.model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.1)


class BeforeUpdate(TrainerCallback):
    """Keeps the gradients that the first optimizer step uses."""

    def __init__(self, trainer):
        self.trainer, self.gradients = trainer, None

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        self.gradients = self.gradients or lora(self.trainer, "grad")


def record_rollouts(trainer):
    """Return a list that fills with (rows, output) of every rollout."""
    rollouts, generate = [], trainer._generate_and_score_completions

    def recording(inputs):
        output = generate(inputs)
        rollouts.append((inputs, {key: value.clone() for key, value in output.items()}))
        return output

    trainer._generate_and_score_completions = recording
    return rollouts
