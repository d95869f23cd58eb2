"""How much of a small adapter the rollout engine sees, how far it samples from the trainer's policy, and how fast.

    python benchmarks/rollout_engine.py [--responses 256] [--pretraining-steps 500] [--brief]

A tiny model is pre-trained, an adapter trained on it, and its B scaled so that the mean of ‖δ‖ / ‖W‖ over the adapted
layers has given values. Per precision, and for each way in which vLLM gets the adapter (`training.rollout_weights`):

share seen    how the log-probabilities of fixed responses change with the adapter: the slope of this change over the
              one in float64, by least squares over the tokens. `trainer` is the trainer's own forward pass; in brackets
              the ratio to the trainer's share
KL            of the engine's policy to the trainer's, per sampled token (k3, mean ± standard error, 1e-6 nats).
              `trainer` is that of two passes of the trainer: single rows, and 32 padded rows at a time
tokens/s      decoded while sampling `responses` completions at once, the best of five; on a CPU per second of its time,
              so that other processes do not count

On a CPU the float32 row has no counterpart in a training with a GPU, and an adapter costs vLLM more speed than there.
"""

import argparse
import gc
import os
import random
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

os.environ |= {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}

import torch
import vllm.model_executor.layers.utils
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import Linear
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig
from vllm import SamplingParams

from generalthinker.config import load
from generalthinker.config.settings import Settings
from generalthinker.data import synthetic
from generalthinker.models import tiny, warm_up
from generalthinker.prompts import question_prompt
from generalthinker.records import RunSpec
from generalthinker.training.colocated import connect
from generalthinker.training.run import grpo_arguments, training_rows
from generalthinker.training.scoring import left_pad
from generalthinker.training.trainer import MethodTrainer

SIZES = (1e-4, 3e-4, 1e-3, 3e-3)  # of δ / W
RANK, RESPONSE_TOKENS, ADAPTER_STEPS = 32, 80, 40
MODES = {"merged": "merged", "stochastic": "merged", "native": "native"}  # way → the kind of engine that it needs
GPU = torch.cuda.is_available()
Rows = list[tuple[list[int], list[int]]]  # tokens of prompts and responses
Factors = dict[str, Tensor]


def leave_unpacked(layer, remove_weight):
    """Compute a linear layer of vLLM's CPU build from its plain weight: a packed one would never see new weights."""
    layer.cpu_linear = torch.nn.functional.linear


def prepare() -> None:
    """Let vLLM's CPU build take new weights."""
    if not GPU:
        vllm.model_executor.layers.utils.dispatch_cpu_unquantized_gemm = leave_unpacked


class Engine:
    """A trainer with a colocated vLLM engine, whose adapter is set from outside."""

    def __init__(self, folder: Path, model: Path, precision: str, weights: str) -> None:
        self.settings = settings_for(precision, weights)
        arguments = grpo_arguments(self.settings, RunSpec("small", "Binary-RL", seed=1), 1, str(folder))
        self.trainer = MethodTrainer(
            method=self.settings.method(RunSpec("small", "Binary-RL", seed=1)),
            settings=self.settings.training,
            model=AutoModelForCausalLM.from_pretrained(
                model, dtype=torch.bfloat16 if precision == "bf16" else torch.float32
            ),
            args=GRPOConfig(**arguments | {"disable_tqdm": True}),
            train_dataset=training_rows(synthetic.rows(None, "train", 64, 1)),
            processing_class=AutoTokenizer.from_pretrained(model, padding_side="left"),
            peft_config=lora_config(self.settings),
        )
        self.llm = self.trainer.vllm_generation.llm

    def set(self, factors: Factors, scale: float, weights: str) -> None:
        """Give the trainer the adapter with B · `scale`, and the engine the weights made from it."""
        load_factors(self.trainer.model, factors, scale)
        training = self.settings.training.model_copy(update={"rollout_weights": weights})
        if MODES[weights] == "merged":
            connect(self.trainer.vllm_generation, self.trainer.model, training, 1, lambda: round(scale * 1e6))
        self.trainer.vllm_generation.sync_weights()

    def engine_logps(self, rows: Rows) -> Tensor:
        """Return the engine's log-probabilities of the responses' tokens, one after another."""
        asked: Any = [{"prompt_token_ids": prompt + response} for prompt, response in rows]
        outputs = self.llm.generate(asked, SamplingParams(max_tokens=1, prompt_logprobs=0), use_tqdm=False)
        return torch.tensor(
            [
                output.prompt_logprobs[place][token].logprob
                for (prompt, response), output in zip(rows, outputs, strict=True)
                for place, token in enumerate(response, start=len(prompt))
            ]
        ).double()

    def trainer_logps(self, rows: Rows, size: int) -> Tensor:
        """Return the trainer's log-probabilities of the same tokens; `size` rows share a pass and its padding."""
        logps = []
        for start in range(0, len(rows), size):
            chunk = rows[start : start + size]
            ids, mask = left_pad(
                [p + r for p, r in chunk], self.trainer.tokenizer.pad_token_id, self.trainer.model.device
            )
            keep = max(len(response) for _, response in chunk)
            of_chunk = self.trainer._policy_logps(ids, mask, keep)
            logps += [row[keep - len(response) :] for row, (_, response) in zip(of_chunk, chunk, strict=True)]
        return torch.cat(logps).double().cpu()

    def sample(self, prompts: list[list[int]]) -> tuple[Rows, Tensor, float]:
        """Return sampled responses, the engine's log-probabilities of their tokens, and decoded tokens per second."""
        clock = time.perf_counter if GPU else time.process_time
        started = clock()
        _, responses, logps, _ = self.trainer.vllm_generation.generate(prompts, None, 1)
        seconds = clock() - started
        rows = [(prompt, list(response)) for prompt, response in zip(prompts, responses, strict=True)]
        flat = torch.tensor([token[0] for response in logps for token in response]).double()
        return rows, flat, len(flat) / seconds


def settings_for(precision: str, weights: str) -> Settings:
    """Return the demo's settings with vLLM rollouts."""
    settings = load([Path(__file__).parent.parent / "config/demo.yaml"])
    update = {
        "precision": precision,
        "rollout_engine": "vllm",
        "rollout_weights": weights,
        "validate_every": None,
        "max_completion_tokens": RESPONSE_TOKENS,
    }
    return settings.model_copy(update={"training": settings.training.model_copy(update=update)})


def lora_config(settings: Settings) -> LoraConfig:
    """Return the adapter's shape."""
    modules = list(settings.training.lora.target_modules)
    return LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=modules, task_type="CAUSAL_LM")


def load_factors(model, factors: Factors, scale: float) -> None:
    """Set A, and B · `scale`."""
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.copy_(factors[name] * (scale if "lora_B" in name else 1.0))


def trained_adapter(model: Path, steps: int) -> tuple[Factors, float]:
    """Return A and B after some steps on worked solutions, and the mean ‖δ‖ / ‖W‖ over the layers."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    peft = get_peft_model(AutoModelForCausalLM.from_pretrained(model), lora_config(settings_for("fp32", "merged")))
    optimizer = torch.optim.AdamW([p for p in peft.parameters() if p.requires_grad], lr=1e-3)
    texts = tiny.lessons(tokenizer, synthetic.rows(None, "train", 16 * steps, 1), 16 * steps, 1.0, 0.0, 0.0, seed=0)
    for ids, labels in islice(warm_up.batches(warm_up.encode(tokenizer, texts), 16, random.Random(0)), steps):
        peft(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    layers = [module for module in peft.modules() if isinstance(module, Linear)]
    sizes = [(layer.get_delta_weight("default").norm() / layer.base_layer.weight.norm()).item() for layer in layers]
    factors = {name: p.detach().clone() for name, p in peft.named_parameters() if "lora_" in name}
    return factors, sum(sizes) / len(sizes)


def reference(model: Path, dtype: torch.dtype, factors: Factors) -> Callable[[Rows, float], Tensor]:
    """Return a function of rows and B's scale: the tokens' log-probabilities in float64, from weights of `dtype`."""
    base = AutoModelForCausalLM.from_pretrained(model, dtype=dtype).double()
    peft = get_peft_model(base, lora_config(settings_for("fp32", "merged"))).double()

    @torch.no_grad()
    def logps(rows: Rows, scale: float) -> Tensor:
        load_factors(peft, factors, scale)
        parts = []
        for prompt, response in rows:
            logits = peft(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1].double()
            parts.append(logits.log_softmax(-1).gather(1, torch.tensor(response).unsqueeze(1)).squeeze(1))
        return torch.cat(parts)

    return logps


def slope(change: Tensor, expected: Tensor) -> tuple[float, float]:
    """Return the least-squares slope of `change` over `expected` through 0, and its standard error."""
    value = (change * expected).sum() / expected.square().sum()
    error = ((change - value * expected).square().sum() / len(change) / expected.square().sum()).sqrt()
    return value.item(), error.item()


def divergence(sampled: Tensor, other: Tensor) -> str:
    """Return the k3 estimate of KL(sampled ‖ other) per token in 1e-6 nats, on tokens that were sampled."""
    difference = other - sampled
    values = (difference.expm1() - difference) * 1e6
    return f"{values.mean():.3g} ± {values.std() / len(values) ** 0.5:.1g}"


def measure(
    precision: str, model: Path, factors: Factors, scales: list[float], rows: Rows, folder: Path
) -> list[list[str]]:
    """Return the rows of one precision's table: name, slopes, KLs, tokens per second. The first scale of B is 0."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    exact = reference(model, dtype, factors)
    expected = [exact(rows, scale) for scale in scales]
    prompts = [prompt for prompt, _ in rows]
    table = {}
    for kind in dict.fromkeys(MODES.values()):
        engine = Engine(folder, model, precision, kind)
        for mode in (mode for mode in MODES if MODES[mode] == kind):
            shares, own_shares, divergences, own_divergences, speeds = [], [], [], [], []
            for place, scale in enumerate(scales):
                engine.set(factors, scale, mode)
                seen, own = engine.engine_logps(rows), engine.trainer_logps(rows, 32)
                if place == 0:
                    before, own_before = seen, own
                else:
                    share, error = slope(seen - before, expected[place] - expected[0])
                    own_share, own_error = slope(own - own_before, expected[place] - expected[0])
                    shares.append(f"{share:.2f} ± {error:.2f} ({share / own_share:.2f})")
                    own_shares.append(f"{own_share:.2f} ± {own_error:.2f}")
                sampled, logps, speed = engine.sample(prompts)
                single = engine.trainer_logps(sampled, 1)
                divergences.append(divergence(logps, single))
                own_divergences.append(divergence(single, engine.trainer_logps(sampled, 32)))
                speeds.append(speed)
            table[mode] = [*shares, *divergences, f"{max(speeds):,.0f}"]
            table["trainer"] = [*own_shares, *own_divergences, "–"]
        del engine
        gc.collect()
    return [[mode, *table[mode]] for mode in [*MODES, "trainer"]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--responses", type=int, default=256)
    parser.add_argument("--pretraining-steps", type=int, default=500)
    parser.add_argument("--brief", action="store_true", help="few responses, bf16 only: does it run?")
    arguments = parser.parse_args()
    if arguments.brief:
        arguments.responses, arguments.pretraining_steps = 4, 10
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        tiny.build(
            model, hidden_size=128, layers=4, heads=4, key_value_heads=2, intermediate_size=384, vocabulary_size=480,
            steps=arguments.pretraining_steps, batch_size=16, learning_rate=3e-3, worked_share=0.5, slip_share=0.0,
            answer_conditioned_share=0.0, seed=1, evaluation_questions=8,
        )  # fmt: skip
        factors, size = trained_adapter(model, 2 if arguments.brief else ADAPTER_STEPS)
        tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
        questions = synthetic.rows(None, "train", arguments.responses, 2)
        prompts = tokenizer([question_prompt(tokenizer, q["question"]) for q in questions], add_special_tokens=False)
        solutions = tokenizer([q["solution"] for q in questions], add_special_tokens=False)
        rows = [*zip(prompts["input_ids"], solutions["input_ids"], strict=True)]
        tokens = sum(len(response) for _, response in rows)
        print(f"{tokens:,} tokens of {len(rows)} responses on {torch.cuda.get_device_name(0) if GPU else 'CPU'}")
        sizes = SIZES[2:] if arguments.brief else SIZES
        heads = [f"share seen at {s:.0e}" for s in sizes] + [f"KL at {s:.0e}" for s in (0.0, *sizes)] + ["tokens/s"]
        scales = [0.0, *(wanted / size for wanted in sizes)]
        for precision in ["bf16"] if arguments.brief else ["bf16", "fp32"]:
            print(f"\n| {precision} | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
            for row in measure(precision, model, factors, scales, rows, Path(folder)):
                print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
