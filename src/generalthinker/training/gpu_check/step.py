"""Two optimizer steps of a run, made by its own trainer and measured: time, memory, and the rollout engine's gap.

The responses that are trained on are given ones with boxes, unless a real model samples its own: a model with random
weights writes until the limit, and truncated responses add nothing to a step. Between the steps the adapter is made
large, because a fresh one changes nothing that an engine could miss.
"""

import math
import os
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft.tuners.lora import Linear
from torch import Tensor
from transformers import PretrainedConfig, TrainerCallback

from generalthinker.config.settings import Settings
from generalthinker.config.training import TrainingSettings
from generalthinker.metrics import SAMPLING_DIFFERENCE_MAX, SAMPLING_KL
from generalthinker.records import RunSpec
from generalthinker.training.gpu_check.sums import sums
from generalthinker.training.replay import attention_kernel, completions, log_normal_lengths, peak_memory
from generalthinker.training.sampling_gap import SamplingGap
from generalthinker.training.scoring import left_pad
from generalthinker.training.start import prepare_vllm

STEPS = 2  # the first one also warms up
MEAN_LENGTH = 0.4  # of a given response, as a share of the limit; plan assumes 400 of 1,024 tokens as well
# The norm of the adapter's change of a weight matrix, over that of the matrix. On two small models in bfloat16, 0.03
# and 0.1 made the KL to vLLM's CPU build 1.1 to 1.5 times that without an adapter; had the engine ignored the adapter,
# it would have been 17 times and more.
ADAPTER = 0.05
HEAD_TILE = 32_768  # vocabulary entries of the logits that TRL's fused head computes at a time
OPTIMIZED_BYTES = 16  # per parameter of the adapter: float32 value, gradient, and Adam's two moments


def measure(
    settings: Settings, run: RunSpec, folder: Path, *, sample: bool, replay: bool, report: Callable[[dict], None]
) -> dict[str, Any]:
    """Return what two steps of `run` have shown; `report` gets what is known before them.

    With `sample`, the rollouts are made as configured, and timed; else no engine is started. With `replay`, the steps
    train on given responses. Under torchrun, all processes make the steps together.
    """
    update = {"max_steps": STEPS, "validate_every": None, "report_to": "none"}
    update |= {} if sample else {"rollout_engine": "transformers"}
    training = settings.training.model_copy(update=update)
    prepare_vllm(training)
    from generalthinker.training.run import build_trainer, grpo_arguments

    world = int(os.environ.get("WORLD_SIZE", "1"))
    settings = settings.model_copy(update={"training": training})
    arguments = grpo_arguments(settings, run, world, str(folder)) | {"save_strategy": "no", "disable_tqdm": True}
    trainer: Any = build_trainer(settings, run, arguments)
    rollouts = Rollouts(trainer, training, sample=sample, replay=replay)
    clock = Clock(trainer, rollouts)
    trainer.add_callback(clock)
    figures: dict[str, Any] = {"processes": world}
    if world > 1:
        figures |= _all_reduce(trainer)
        report(figures)
    cuda = torch.cuda.is_available()
    held = _bytes(trainer.model.parameters())
    if sample or world > 1:  # memory is measured by one process that trains alone
        trainer.train()
    else:
        figures["peak_bytes"] = (torch.cuda.memory_allocated() if cuda else held) + peak_memory(trainer.train)
    if cuda:
        free, total = torch.cuda.mem_get_info()
        figures |= {"used_bytes": total - free, "device_bytes": total}
        figures["attention"] = attention_kernel(lambda: rollouts.score(rollouts.trained))
    adapter = [parameter for parameter in trainer.model.parameters() if parameter.requires_grad]
    if world > 1:
        own = torch.stack([parameter.detach().double().sum() for parameter in adapter]).sum().unsqueeze(0)
        figures["same_adapter"] = len(set(trainer.accelerator.gather(own).tolist())) == 1
    positions = rollouts.positions()
    weights = held - _bytes(adapter)
    config, parameters = trainer.model.config, sum(parameter.numel() for parameter in adapter)
    figures["expected_bytes"] = expected_bytes(config, training, weights, parameters, positions, cuda)
    figures |= clock.figures() | rollouts.figures(clock) | {"positions": positions._asdict()}
    if world > 1:
        trainer.accelerator.end_training()  # without it, one of the processes sometimes aborts at its end
    return figures


class Rollouts:
    """Stands in front of a trainer's sampling: times it, compares log-probabilities, and gives responses to train on.

    The trainer's own passes for the comparison take `aside` seconds, which belong to no training step.
    """

    def __init__(self, trainer: Any, training: TrainingSettings, *, sample: bool, replay: bool) -> None:
        self.trainer, self.training, self.sample, self.replay = trainer, training, sample, replay
        lengths = log_normal_lengths(
            MEAN_LENGTH * training.max_completion_tokens,
            training.max_completion_tokens,
            training.batch_size,
            truncated=training.batch_size // 32,
        )
        rows = sums(400)
        self.given = completions(trainer.processing_class, rows, lengths, training.max_completion_tokens)
        self.gaps: list[dict[str, float]] = []  # per step, if the engine gives log-probabilities
        self.ignored: float | None = None  # the last step's KL if the engine had sampled without the adapter
        self.aside, self.sampled_tokens = 0.0, 0
        self.trained: list[tuple[list[int], list[int]]] = []  # tokens of prompts and responses, of the latest step
        self._sample = trainer._generate_single_turn
        trainer._generate_single_turn = self.generate

    def generate(self, prompt_ids: list[list[int]], *rest: Any) -> tuple[list[list[int]], list[list[float]] | None]:
        """Return the responses to train on, and the engine's log-probabilities if it has sampled them."""
        ids, logps = self._sample(prompt_ids, *rest) if self.sample else ([], None)
        started = synchronised()
        self.sampled_tokens = sum(map(len, ids))
        if logps is not None:
            rows = [*zip(prompt_ids, ids, strict=True)]
            self.gaps.append(self._gap(rows, logps))
            with self.trainer._acting("initial"):
                self.ignored = self._gap(rows, logps)[SAMPLING_KL]
        if self.replay:
            first = self.trainer.accelerator.process_index * len(prompt_ids)
            ids, logps = self.given[first : first + len(prompt_ids)], None
        self.trained = [*zip(prompt_ids, ids, strict=True)]
        self.aside = synchronised() - started
        return ids, logps

    def score(self, rows: list[tuple[list[int], list[int]]]) -> Tensor:
        """Return the trainer's log-probabilities of the responses (B, T), aligned at the last token."""
        trainer = self.trainer
        ids, mask = left_pad([p + r for p, r in rows], trainer.tokenizer.pad_token_id, trainer.accelerator.device)
        return trainer._policy_logps(ids, mask, max(len(response) for _, response in rows))

    def _gap(self, rows: list[tuple[list[int], list[int]]], logps: list[list[float]]) -> dict[str, float]:
        gap = SamplingGap(self.trainer.accelerator)
        gap.trainer_logps = self.score(rows)
        sampled = torch.full(gap.trainer_logps.shape, torch.nan)
        for row, values in enumerate(logps):
            numbers = [math.nan if value is None else value for value in values]
            sampled[row, sampled.size(1) - len(values) :] = torch.tensor(numbers)
        sampled = sampled.to(gap.trainer_logps.device)
        gap.add(sampled, ~sampled.isnan())
        return gap.of_step()

    def positions(self) -> "Positions":
        """Return how many positions the passes of the latest step have had."""
        from generalthinker.training.lengths import chunks  # TRL, which `measure` imports without vLLM

        trainer = self.trainer
        longest = max(len(prompt) + len(response) for prompt, response in self.trained)
        if not self.training.group_by_length:
            size = trainer.args.per_device_train_batch_size
            scored = size * max(len(response) for _, response in self.trained)
            return Positions(size * longest, size * longest, scored)
        passes, together, scored = [], [], []
        for call in filter(None, trainer._calls):
            responses = call["completion_mask"].sum(dim=1)
            lengths = (call["prompt_mask"].sum(dim=1) + responses).tolist()
            groups = chunks(lengths, trainer._positions(longest))
            passes += [len(rows) * lengths[rows[0]] for rows in groups]
            together.append(sum(passes[-len(groups) :]))
            scored += [int(responses[rows].sum()) for rows in groups]
        return Positions(max(passes), max(together), max(scored))

    def figures(self, clock: "Clock") -> dict[str, Any]:
        """Return what the rollouts of the last step have shown."""
        found: dict[str, Any] = {
            "prompt_tokens": statistics.fmean(len(prompt) for prompt, _ in self.trained),
            "response_tokens": statistics.fmean(len(response) for _, response in self.trained),
            "truncated": sum(self.trainer.processing_class.eos_token_id != ids[-1] for _, ids in self.trained),
        }
        if self.sample:
            found["rollout_tokens_per_second"] = self.sampled_tokens / clock.steps[-1]["rollout_seconds"]
        if self.gaps:
            found |= {
                "kl": self.gaps[-1][SAMPLING_KL],
                "kl_without_adapter": self.gaps[0][SAMPLING_KL],
                "kl_if_ignored": self.ignored,
                "largest_difference": self.gaps[-1][SAMPLING_DIFFERENCE_MAX],
            }
        return found


class Clock(TrainerCallback):
    """Measures each step from its beginning to the end of the optimizer's update, and enlarges the adapter between."""

    def __init__(self, trainer: Any, rollouts: Rollouts) -> None:
        self.trainer, self.rollouts = trainer, rollouts
        self.steps: list[dict[str, float]] = []
        self._started = 0.0

    def on_step_begin(self, args, state, control, **kwargs):
        """Start the clock."""
        self.trainer.seconds.update(rollout=0.0, scoring=0.0)
        self._started = synchronised()

    def on_step_end(self, args, state, control, **kwargs):
        """Stop the clock."""
        aside, seconds = self.rollouts.aside, self.trainer.seconds
        total, rollout = synchronised() - self._started - aside, seconds["rollout"] - aside
        update = total - rollout - seconds["scoring"]
        self.steps.append({"rollout_seconds": rollout, "scoring_seconds": seconds["scoring"], "update_seconds": update})
        if state.global_step < STEPS:
            enlarge_adapter(self.trainer.accelerator.unwrap_model(self.trainer.model))

    def figures(self) -> dict[str, Any]:
        """Return the seconds of the last step, its tokens per second of scoring and update, and its gradient's norm."""
        logs = [entry for entry in self.trainer.state.log_history if "loss" in entry]
        tokens = [0.0, *(entry["num_tokens"] for entry in logs)]
        step = self.steps[-1]
        computing = step["scoring_seconds"] + step["update_seconds"]
        return step | {
            "training_tokens_per_second": [late - early for early, late in pairwise(tokens)][-1] / computing,
            "gradient_norm": logs[-1]["grad_norm"],
        }


def enlarge_adapter(model: torch.nn.Module) -> None:
    """Set every B at random, the same on all processes, so that the adapter changes each matrix by `ADAPTER` of it."""
    generator = torch.Generator().manual_seed(2)
    for layer in model.modules():
        if isinstance(layer, Linear):
            [name] = layer.active_adapters
            matrix: Tensor = layer.get_parameter(f"lora_B.{name}.weight").data
            matrix.copy_(torch.randn(matrix.shape, generator=generator))
            weight = layer.get_base_layer().get_parameter("weight")
            matrix *= ADAPTER * weight.norm() / layer.get_delta_weight(name).norm()


class Positions(NamedTuple):
    """The most positions, padding included, of one forward pass, and of all passes before one backward pass.

    `scored` are those of one pass whose log-probabilities are computed.
    """

    passed: int
    together: int
    scored: int


def expected_bytes(
    config: PretrainedConfig, training: TrainingSettings, weights: int, adapter: int, positions: Positions, cuda: bool
) -> dict[str, int]:
    """Return the bytes that a step needs at its peak, by part, as arithmetic: an estimate.

    `weights` are the bytes of the model's weights, `adapter` is the number of trained parameters. For its gradients, a
    layer keeps about 10 vectors of the hidden size and 5 of the intermediate size per position, and needs as much again
    while it computes them. With gradient checkpointing it keeps its input alone, until its pass is repeated. The head,
    which computes before any layer repeats its pass, needs a tile of logits and its own gradient; without a GPU, five
    more copies of the tile in float32.
    """
    element = 2 if training.precision == "bf16" else 4
    layer = (10 * config.hidden_size + 5 * config.intermediate_size) * element
    entry = config.hidden_size * element
    head = positions.scored * HEAD_TILE * element + positions.passed * config.hidden_size * 4
    if not cuda:
        head += 5 * positions.scored * min(config.vocab_size, HEAD_TILE) * 4
    checkpointing = training.gradient_checkpointing
    return {
        "weights": weights,
        "adapter and optimizer": adapter * OPTIMIZED_BYTES,
        "kept for gradients": config.num_hidden_layers * positions.together * (entry if checkpointing else layer),
        "one layer or the head": max(positions.passed * layer * (2 if checkpointing else 1), head),
    }


def synchronised() -> float:
    """Return the time in seconds when the GPU has finished its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _bytes(parameters: Any) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in parameters)


def _all_reduce(trainer: Any) -> dict[str, Any]:
    """Return the backend of the processes' communication, and whether they add up a number correctly."""
    accelerator = trainer.accelerator
    world = accelerator.num_processes
    total = accelerator.reduce(torch.tensor([accelerator.process_index + 1.0], device=accelerator.device), "sum")
    correct = total.item() == world * (world + 1) / 2
    return {"backend": torch.distributed.get_backend(), "sum_is_right": correct}
