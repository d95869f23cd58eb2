"""What scoring costs: seconds of one optimizer step per method, as ratios to binary_rl within one run.

Every family of `generalthinker.methods` that is trained is measured with its default settings, and GeneralThinker's
simplest ablation. Rollouts are replayed, not sampled, so that every method sees the same completions and only reward,
credit and update are timed. Weights are random; the geometry is Qwen2.5-1.5B's on a GPU and a tiny one on a CPU.

    python benchmarks/step_overhead.py [--steps 5] [--completions 64] [--completion-tokens 512]
                                       [--geometry qwen2.5-1.5b|tiny] [--brief]
"""

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch
from peft import LoraConfig
from transformers import PrinterCallback, Qwen2Config, Qwen2ForCausalLM
from trl import GRPOConfig

from generalthinker.config import load
from generalthinker.config.settings import Settings
from generalthinker.data import synthetic
from generalthinker.methods import FAMILIES, Method
from generalthinker.methods.generalthinker import GeneralThinker
from generalthinker.models.tiny import train_tokenizer
from generalthinker.records import RunSpec
from generalthinker.training.run import grpo_arguments, training_rows
from generalthinker.training.trainer import MethodTrainer

GEOMETRIES = {
    "qwen2.5-1.5b": {
        "vocab_size": 151_936,
        "hidden_size": 1536,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "intermediate_size": 8960,
    },
    "tiny": {
        "vocab_size": 512,
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 384,
    },
}
BASELINE = "binary_rl"
BRIEF = {"steps": 1, "completions": 8, "completion_tokens": 24, "geometry": "tiny"}


def variants() -> dict[str, Method]:
    """Return the methods to measure by the name in the table, the baseline first."""
    methods = {family: kind(family=family) for family, kind in FAMILIES.items()}
    methods["AM only"] = GeneralThinker(family="generalthinker", clip_threshold=None, direction_preserving=False)
    trained = {name: method for name, method in methods.items() if method.trained}
    return {BASELINE: trained.pop(BASELINE), **trained}


class Replaying(MethodTrainer):
    """The trainer with sampling replaced by given completions, and the time of each step's parts kept."""

    completions: list[list[int]]
    parts: list[dict[str, float]]

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        return self.completions[: len(prompt_ids)], None

    def _synchronised(self) -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    def _generate_and_score_completions(self, inputs):
        self.started = self._synchronised()
        output = super()._generate_and_score_completions(inputs)
        self.scored = self._synchronised()
        return output

    def log(self, logs, start_time=None):
        if "loss" in logs:
            self.parts.append({"scoring": self.scored - self.started, "total": self._synchronised() - self.started})
        super().log(logs, start_time)


def completions(tokenizer, count: int, tokens: int) -> list[list[int]]:
    """Return `count` responses of about `tokens` tokens: worked solutions, then a box."""
    rows = synthetic.rows(None, "train", 400, 1)
    rng = random.Random(0)
    written = []
    for _ in range(count):
        length = int(tokens * rng.uniform(0.6, 1.2))
        text = ""
        while len(ids := tokenizer(text)["input_ids"]) < length:
            text += rng.choice(rows)["solution"].partition("\\boxed")[0]
        ending = tokenizer(f"\\boxed{{{rng.choice(rows)['answer']}}}")["input_ids"]
        written.append([*ids[:length], *ending, tokenizer.eos_token_id])
    return written


def settings_for(steps: int, count: int) -> Settings:
    """Return the demo's settings with `count` responses per step and one step more than are measured, as warm-up."""
    settings = load([Path(__file__).parent.parent / "config/demo.yaml"])
    update = {
        "max_steps": steps + 1,
        "batch_size": count,
        "micro_batch_size": 8,
        "precision": "bf16" if torch.cuda.is_available() else "fp32",
        "save_every": 999,
        "validate_every": None,
    }
    return settings.model_copy(update={"training": settings.training.model_copy(update=update)})


def measure(method: Method, model, tokenizer, replayed: list[list[int]], steps: int, folder: Path) -> dict[str, float]:
    """Return median seconds of scoring and of the whole step, the first step (warm-up) left out."""
    settings = settings_for(steps, len(replayed))
    lora = settings.training.lora
    trainer = Replaying(
        method=method,
        settings=settings.training,
        model=model,
        args=GRPOConfig(
            **grpo_arguments(settings, RunSpec("small", method.family, seed=1), 1, str(folder)) | {"disable_tqdm": True}
        ),
        train_dataset=training_rows(synthetic.rows(None, "train", 160, 1)),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=32, lora_alpha=64, target_modules=list(lora.target_modules)),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.completions, trainer.parts = replayed, []
    trainer.train()
    measured = trainer.parts[1:]
    return {part: statistics.median(step[part] for step in measured) for part in ("scoring", "total")}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--completions", type=int, default=64, help="responses per step, a multiple of 8")
    parser.add_argument("--completion-tokens", type=int, default=512)
    parser.add_argument(
        "--geometry", choices=GEOMETRIES, default="qwen2.5-1.5b" if torch.cuda.is_available() else "tiny"
    )
    parser.add_argument("--brief", action="store_true", help="the fewest steps of the tiny geometry: does it run?")
    arguments = parser.parse_args()
    if arguments.brief:
        vars(arguments).update(BRIEF)
    rows = synthetic.rows(None, "pretrain", 2000, 1)
    tokenizer = train_tokenizer(rows, 400)
    replayed = completions(tokenizer, arguments.completions, arguments.completion_tokens)
    measured = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, method in variants().items():
            torch.manual_seed(0)
            config = Qwen2Config(
                **GEOMETRIES[arguments.geometry], tie_word_embeddings=True, max_position_embeddings=4096
            )
            model = Qwen2ForCausalLM(config).to(torch.bfloat16 if torch.cuda.is_available() else torch.float32)
            measured[name] = measure(method, model, tokenizer, replayed, arguments.steps, Path(folder))
    base = measured[BASELINE]["total"]
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"
    size = f"{arguments.completions} completions of about {arguments.completion_tokens} tokens"
    print(f"{arguments.geometry} on {device}: {size}")
    print(f"| method | scoring s | step s | step relative to {BASELINE} |\n|---|---|---|---|")
    for name, seconds in measured.items():
        print(f"| {name} | {seconds['scoring']:.2f} | {seconds['total']:.2f} | {seconds['total'] / base:.2f} |")
    if torch.cuda.is_available():
        print(f"peak GPU memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
