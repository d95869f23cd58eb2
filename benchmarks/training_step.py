"""What a training step costs after sampling: ours and stock TRL's, on the same replayed responses, as ratios.

    python benchmarks/training_step.py [--geometry NAME …] [--rounds 3] [--lengths FILE] [--json FILE] [--brief]

A step is everything from the sampled responses to the end of the optimizer's update: reward, reference, likelihood and
answer-conditioned passes, the loss and its gradients. Compared are stock TRL's Binary-RL, our Binary-RL,
Likelihood-RL and GeneralThinker, and the straightforward GeneralThinker (`group_by_length: false`): TRL's passes as
they are and two more of the same kind. All take turns step by step in one process and share the model's weights, which
are random. 64 responses have lengths like those of a real model (config/laptop.yaml): log-normal, with a mean of 0.45 ×
the limit, and ten reach the limit; prompts have an eighth of it. `--lengths` takes the lengths from a
`history.parquet` (mean, longest, truncated share) or from a generations Parquet instead.

Needs torch, transformers, peft, accelerate, trl, datasets, pandas and pydantic; no vLLM and no network. On a GPU the
geometries of Qwen2.5-1.5B, 3B and 7B are measured in bfloat16, and tokens per second, the share of the GPU's peak
FLOP/s and the attention kernel are printed too. Memory is the most that a step takes above what it starts with.
"""

import argparse
import copy
import json
import math
import random
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from transformers import PrinterCallback, Qwen2ForCausalLM
from trl import GRPOConfig, GRPOTrainer

from generalthinker.answers import grade
from generalthinker.config import load
from generalthinker.config.settings import Settings
from generalthinker.data import synthetic
from generalthinker.models.tiny import train_tokenizer
from generalthinker.records import RunSpec
from generalthinker.training.gpu_check.models import SHAPES, Shape
from generalthinker.training.replay import attention_kernel, completions, log_normal_lengths, peak_memory
from generalthinker.training.run import grpo_arguments, training_rows
from generalthinker.training.trainer import MethodTrainer

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
PASSES = ("reference", "likelihood", "conditioned")  # those without gradients, in the order in which they are made


@dataclass(frozen=True)
class Geometry(Shape):
    """A model's shape, the token limit of its responses, and the rows of a micro-batch."""

    limit: int = 1024
    micro_batch: int = 4


GEOMETRIES = {
    **{f"qwen2.5-{size}b": Geometry(**asdict(SHAPES[f"Qwen/Qwen2.5-{size}B-Instruct"])) for size in ("1.5", "3", "7")},
    "cpu": Geometry(192, 3, 6, 2, 512, vocabulary=2048, limit=512),
    # the demo's: short responses, all in one micro-batch
    "demo": Geometry(128, 2, 4, 2, 384, vocabulary=512, limit=64, micro_batch=64),
    "brief": Geometry(64, 2, 2, 1, 96, vocabulary=512, limit=48),
}
METHODS = {
    "stock": "Binary-RL",
    "binary": "Binary-RL",
    "likelihood": "Likelihood-RL",
    "ours": "GeneralThinker",
    "straightforward": "GeneralThinker",
}
# Of sampled responses of SmolLM2-135M (config/laptop.yaml, docs/method.md): the mean length of those that ended, as a
# share of the limit, and the share of those that did not.
MEAN_LENGTH, TRUNCATED = 0.45, 0.15
LABELS = {
    "stock": "Binary-RL, stock TRL",
    "binary": "Binary-RL",
    "likelihood": "Likelihood-RL",
    "ours": "GeneralThinker",
    "straightforward": "GeneralThinker, straightforward",
}


def synchronised() -> float:
    """Return the time in seconds when the GPU has finished its work; without one, this process's processor time.

    Processor time does not depend on what else the machine does. It is that of one thread (see `main`).
    """
    if not CUDA:
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


class Replaying:
    """Replaces a trainer's sampling by given responses and keeps the seconds of each step's parts."""

    completions: list[list[int]]

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        return self.completions[: len(prompt_ids)], None

    def _generate_and_score_completions(self, inputs):
        self.passes, self.step = iter(PASSES), defaultdict(float)
        self.started = synchronised()
        output = super()._generate_and_score_completions(inputs)
        self.step["scoring"] = synchronised() - self.started
        return output

    def _get_per_token_logps_and_entropies(self, *args, **kwargs):
        started = synchronised()
        result = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        part = "forward" if torch.is_grad_enabled() else next(self.passes)
        self.step[part] += synchronised() - started
        return result

    def log(self, logs, start_time=None):
        if "loss" in logs:
            self.step["total"] = synchronised() - self.started
            self.step["update"] = self.step["total"] - self.step["scoring"]
            self.step["backward"] = self.step["update"] - self.step["forward"]
            self.logged = logs
        super().log(logs, start_time)


class Stock(Replaying, GRPOTrainer):
    """Stock TRL."""


class Ours(Replaying, MethodTrainer):
    """This package's trainer."""


def lengths_of(limit: int, count: int, file: Path | None = None, truncated_share: float = TRUNCATED) -> list[int]:
    """Return `count` response lengths in tokens, at most `limit`; those at the limit are truncated."""
    mean, truncated = MEAN_LENGTH * limit, round(count * truncated_share)
    if file:
        import pandas as pd

        table = pd.read_parquet(file)
        if "tokens" in table and "response" in table:
            return random.Random(7).choices([min(limit, int(tokens)) for tokens in table["tokens"]], k=count)
        mean = float(table["completion_length"].mean())
        limit = min(limit, int(table["completion_length_max"].max()))
        truncated = round(count * float(table["truncated_share"].mean()))
    return log_normal_lengths(mean, limit, count, truncated)


def questions(tokenizer, tokens: int) -> list[dict[str, Any]]:
    """Return questions of about `tokens` tokens: each is several of the demo's questions, one after the other."""
    rows = synthetic.rows(None, "train", 400, 1)
    rng = random.Random(3)
    written = []
    for row in rng.sample(rows, 160):
        text, length = row["question"], rng.uniform(0.5, 1.5) * tokens
        while len(tokenizer(text)["input_ids"]) < length:
            text += " " + rng.choice(rows)["question"]
        written.append({**row, "question": text})
    return written


def settings_for(geometry: Geometry, count: int, group_size: int, *, sorted_by_length: bool) -> Settings:
    """Return the demo's settings with one step of `count` responses."""
    settings = load([Path(__file__).parent.parent / "config/demo.yaml"])
    update = {
        "max_steps": 1,
        "batch_size": count,
        "group_size": group_size,
        "micro_batch_size": min(count, geometry.micro_batch),
        "max_completion_tokens": geometry.limit,
        "gradient_checkpointing": True,
        "group_by_length": sorted_by_length,
        "precision": "bf16" if CUDA else "fp32",
        "save_every": 10**9,
        "validate_every": None,
    }
    return settings.model_copy(update={"training": settings.training.model_copy(update=update)})


def build(
    name: str, geometry: Geometry, group_size: int, model, tokenizer, replayed: list[list[int]], folder: Path
) -> Any:
    """Return the trainer of a variant, a key of METHODS."""
    settings = settings_for(geometry, len(replayed), group_size, sorted_by_length=name != "straightforward")
    method = METHODS[name]
    arguments = grpo_arguments(settings, RunSpec("small", method, seed=1), 1, str(folder)) | {"disable_tqdm": True}
    common = {
        "model": model,
        "args": GRPOConfig(**arguments),
        "train_dataset": training_rows(questions(tokenizer, geometry.limit // 8)),
        "processing_class": tokenizer,
        "peft_config": LoraConfig(r=32, lora_alpha=64, target_modules=list(settings.training.lora.target_modules)),
    }

    def correct(completions, completion_ids, answer, answer_type, options, **_):
        return [
            float(ids[-1] == tokenizer.eos_token_id and grade(text[0]["content"], a, kind, given).correct)
            for text, ids, a, kind, given in zip(completions, completion_ids, answer, answer_type, options, strict=True)
        ]

    if name == "stock":
        trainer = Stock(reward_funcs=[correct], **common)
    else:
        trainer = Ours(method=settings.methods[method], settings=settings.training, **common)
    trainer.remove_callback(PrinterCallback)
    trainer.completions = replayed
    return trainer


def measure(
    geometry: Geometry, lengths: list[int], rounds: int, variants: list[str], group_size: int = 8
) -> dict[str, Any]:
    """Return what was measured of a geometry with responses of these `lengths`."""
    count = len(lengths)
    tokenizer = train_tokenizer(synthetic.rows(None, "pretrain", 2000, 1), 400)
    replayed = completions(tokenizer, synthetic.rows(None, "train", 400, 1), lengths, geometry.limit)
    torch.manual_seed(0)
    with torch.device(DEVICE):
        model = Qwen2ForCausalLM(geometry.config()).to(torch.bfloat16 if CUDA else torch.float32)
    with tempfile.TemporaryDirectory() as folder:
        trainers = {}
        for variant in variants:
            shared = copy.deepcopy(model, {id(weight): weight for weight in model.parameters()})
            trainers[variant] = build(variant, geometry, group_size, shared, tokenizer, replayed, Path(folder))
        steps: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
        for measured_round in range(rounds + 1):
            for variant, trainer in trainers.items():
                trainer.train()
                if measured_round:  # the first round is a warm-up
                    steps[variant].append(dict(trainer.step))
        memory = {variant: peak_memory(trainer.train) / 2**30 for variant, trainer in trainers.items()}
        kernel = attention_kernel(trainers["ours"].train) if CUDA and "ours" in trainers else "cpu"
    prompt = trainers[variants[0]].logged["num_tokens"] / count - statistics.mean(map(len, replayed))
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(0) if CUDA else "CPU, processor time of one thread",
        "torch": torch.__version__,
        "responses": count,
        "prompt_tokens_mean": round(prompt, 1),
        "response_tokens_mean": round(statistics.mean(lengths), 1),
        "response_tokens_limit": geometry.limit,
        "attention_kernel": kernel,
    }
    for variant in variants:
        for part in steps[variant][0]:
            result[f"{variant}_{part}_seconds"] = round(statistics.median(step[part] for step in steps[variant]), 4)
        result[f"{variant}_peak_gib"] = round(memory[variant], 3)
        tokens = count * (prompt + statistics.mean(lengths))
        result[f"{variant}_tokens_per_second"] = round(tokens / result[f"{variant}_total_seconds"], 1)
        if CUDA:
            result[f"{variant}_share_of_peak"] = share_of_peak(result, variant, model, tokens)
    return result


def share_of_peak(result: dict[str, Any], variant: str, model, tokens: float) -> float:
    """Return the share of the GPU's peak bfloat16 FLOP/s: 2 N per token and pass, 6 N in the update; no padding."""
    from trl.trainer.utils import get_peak_flops

    peak = get_peak_flops(torch.cuda.get_device_name(0), "bfloat16") or math.nan
    passes = sum(f"{variant}_{part}_seconds" in result for part in PASSES)
    weights = sum(weight.numel() for weight in model.parameters())
    return round((2 * passes + 6) * weights * tokens / result[f"{variant}_total_seconds"] / peak, 3)


def ratios(result: dict[str, Any]) -> dict[str, float]:
    """Return the ratios of the targets, each ours over the other."""
    total = {variant: result[f"{variant}_total_seconds"] for variant in METHODS}
    return {
        "step_vs_trl": round(total["ours"] / total["stock"], 3),
        "step_vs_straightforward": round(total["ours"] / total["straightforward"], 3),
        "likelihood_vs_trl": round(total["likelihood"] / total["stock"], 3),
        "binary_vs_trl": round(total["binary"] / total["stock"], 3),
        "step_vs_binary": round(total["ours"] / total["binary"], 3),
        "memory_vs_trl": round(result["ours_peak_gib"] / result["stock_peak_gib"], 3),
    }


def print_table(result: dict[str, Any]) -> None:
    """Print one geometry's measurements."""
    print(
        f"\n{result['geometry']} on {result['device']}, torch {result['torch']}: {result['responses']} responses of "
        f"{result['response_tokens_mean']} tokens on average (limit {result['response_tokens_limit']}), prompts of "
        f"{result['prompt_tokens_mean']}; attention: {result['attention_kernel']}"
    )
    print("| method | step s | / stock | reference | likelihood | conditioned | forward | backward | tokens/s | GiB |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for variant, label in LABELS.items():
        parts = (result.get(f"{variant}_{part}_seconds", 0.0) for part in (*PASSES, "forward", "backward"))
        seconds = result[f"{variant}_total_seconds"]
        print(
            f"| {label} | {seconds:.2f} | {seconds / result['stock_total_seconds']:.2f} | "
            + " | ".join(f"{part:.2f}" for part in parts)
            + f" | {result[f'{variant}_tokens_per_second']:.0f} | {result[f'{variant}_peak_gib']:.2f} |"
        )
        if f"{variant}_share_of_peak" in result:
            print(f"  {100 * result[f'{variant}_share_of_peak']:.1f} % of peak FLOP/s")


def bench(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the geometries; return flat keys: ratios of the first geometry without, the rest with its name."""
    flat: dict[str, Any] = {}
    for place, name in enumerate(arguments.geometry):
        geometry = GEOMETRIES[name]
        lengths = lengths_of(geometry.limit, arguments.responses, arguments.lengths)
        result = {"geometry": name, **measure(geometry, lengths, arguments.rounds, arguments.variants)}
        if arguments.variants == [*METHODS]:
            found = ratios(result)
            flat |= found if place == 0 else {}
            result |= found
            if not arguments.quiet:
                print_table(result)
                print(", ".join(f"{key} {value}" for key, value in found.items()))
        flat |= {f"{name}_{key}": value for key, value in result.items()}
    return flat


def main() -> None:
    """Measure, print, and write a JSON file if one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = ["qwen2.5-1.5b", "qwen2.5-3b", "qwen2.5-7b"] if CUDA else ["cpu", "demo"]
    parser.add_argument("--geometry", nargs="+", choices=GEOMETRIES, default=default)
    parser.add_argument("--rounds", type=int, default=3, help="measured steps of each variant, after one more")
    parser.add_argument("--responses", type=int, default=64, help="responses per step, a multiple of 8")
    parser.add_argument("--lengths", type=Path, help="a history.parquet or a generations Parquet")
    parser.add_argument("--variants", nargs="+", choices=METHODS, default=[*METHODS])
    parser.add_argument("--json", type=Path, help="file for the measurements")
    parser.add_argument("--quiet", action="store_true", help="no table")
    parser.add_argument("--brief", action="store_true", help="one step of the smallest model: does it run?")
    arguments = parser.parse_args()
    if arguments.brief:
        vars(arguments).update(geometry=["brief"], rounds=1, responses=8)
    torch.set_num_threads(1)
    flat = bench(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(flat, indent=1) + "\n")


if __name__ == "__main__":
    main()
