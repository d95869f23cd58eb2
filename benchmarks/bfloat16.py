"""What bfloat16 does to rewards, signal and advantages: the same weights and responses in four precisions.

    python benchmarks/bfloat16.py [--settings FILE --model NAME] [--prompts 4] [--brief]

A trainer of GeneralThinker samples groups of responses in float32. Trainers in other precisions then score the same
responses with the same weights (those of bfloat16) and a fresh adapter, and are compared with float64 (whose softmax
is float32's). Without `--settings` the model is a tiny one, pre-trained here on the demo's questions.

error of R        standard deviation over the responses with a box, in units of the groups' standard deviation of R
Â sign changes    share of these responses whose group-normalised advantage changes its sign
error of s        standard deviation over the prefix tokens (nats), and relative to the spread of s within a prefix
w sign changes    share of prefix tokens whose w (equation 13) changes its sign; in brackets: of those with |w| > 0.1
error of Â_t      largest difference of a token's advantage, relative to its response's |Â|, with Â from float64
gradient          of the step's loss by the adapter, computed in float32 with the precision's token advantages: distance
                  from that with float64's, relative to its norm; `all` computes the loss in the precision, too
seconds           of all scoring passes together

For comparison, the last line prints the distance between the gradients of two halves of the groups.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig
from trl.trainer.utils import add_fused_lm_head

from generalthinker.config import load
from generalthinker.config.settings import Settings
from generalthinker.credit import modulate
from generalthinker.data import synthetic
from generalthinker.decoding import without_sampling_parameters
from generalthinker.files import read_parquet
from generalthinker.models import tiny
from generalthinker.paths import Layout
from generalthinker.records import RunSpec, slug
from generalthinker.training.run import grpo_arguments, training_rows
from generalthinker.training.trainer import MethodTrainer

DEMO = Path(__file__).resolve().parent.parent / "config/demo.yaml"
METHOD = "GeneralThinker"
ROWS_AT_ONCE = 4  # responses whose loss is computed together
NOT_NEAR_ZERO = 0.1  # a weight w that is not near zero, where signs change easily and matter little


class Precision(NamedTuple):
    """How a trainer computes: the type of model and activations, and whether the head's product is float32."""

    dtype: torch.dtype
    float32_head: bool = False


PRECISIONS = {
    "float64": Precision(torch.float64),
    "float32": Precision(torch.float32),
    "bfloat16, head in float32": Precision(torch.bfloat16, float32_head=True),
    "bfloat16": Precision(torch.bfloat16),
}


class Scored(NamedTuple):
    """What one precision makes of P · G responses: rewards (B,), the signal s and the prefix mask (B, T), seconds.

    `output` is what TRL's loss takes.
    """

    rewards: torch.Tensor
    signal: torch.Tensor
    prefix: torch.Tensor
    seconds: float
    output: dict[str, Any]


def trainer_of(settings: Settings, model: Path, precision: Precision, rows: list[dict[str, Any]], folder: Path) -> Any:
    """Return a trainer that computes in `precision` with the weights that bfloat16 has."""
    run = RunSpec("benchmark", METHOD, seed=1)
    arguments = grpo_arguments(settings, run, 1, str(folder))
    arguments["bf16"] = precision.dtype == torch.bfloat16
    weights = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16).to(precision.dtype)
    lora = settings.training.lora
    torch.manual_seed(1)
    trainer = MethodTrainer(
        method=settings.methods[METHOD],
        settings=settings.training,
        model=without_sampling_parameters(weights),
        args=GRPOConfig(**arguments),
        train_dataset=training_rows(rows),
        processing_class=AutoTokenizer.from_pretrained(model, padding_side="left"),
        peft_config=LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=list(lora.target_modules)),
    )
    if precision.float32_head:
        base = trainer.model.get_base_model()
        add_fused_lm_head(base, trainer.temperature, cast_lm_head_to_fp32=True, outputs=("log_probs", "entropy"))
    return trainer


def sampled(trainer: Any, rows: list[dict[str, Any]]) -> list[list[int]]:
    """Return one response per row."""
    trainer.model.train()
    return trainer.respond([row["prompt"] for row in rows])


def scored(trainer: Any, rows: list[dict[str, Any]], responses: list[list[int]]) -> Scored:
    """Score the given `responses` as a training step does."""
    trainer._generate_single_turn = lambda *_: (responses, None)
    trainer.model.train()
    started = time.perf_counter()
    output = trainer._generate_and_score_completions(rows)
    seconds = time.perf_counter() - started
    rewards = torch.tensor([value for group in trainer._rewards for value in group], dtype=torch.float64)
    prefix = trainer.prefix_mask(output)
    return Scored(rewards, trainer.credit.quantities["s"].double(), prefix, seconds, output)


def gradient(trainer: Any, scores: Scored, kept: slice = slice(None)) -> torch.Tensor:
    """Return the gradient (N,) of the loss of the responses `kept` by the adapter, in the trainer's precision."""
    trainer.group_by_length = False  # TRL's loss of one batch, as it is
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.zero_grad()
    kind = torch.float64 if trainer.model.dtype == torch.float64 else torch.float32
    rows = list(range(len(scores.rewards)))[kept]
    for start in range(0, len(rows), ROWS_AT_ONCE):
        chunk = rows[start : start + ROWS_AT_ONCE]
        output = {key: value[chunk] if value.dim() else value for key, value in scores.output.items()}
        for key in ("advantages", "ref_per_token_logps"):
            output[key] = output[key].to(kind)
        (trainer.batch_loss(trainer.model, output) * len(chunk) / len(rows)).backward()
    return torch.cat([p.grad.double().flatten() for p in trainer.model.parameters() if p.grad is not None])


def distance(exact: torch.Tensor, other: torch.Tensor) -> float:
    """Return ‖other - exact‖ / ‖exact‖."""
    return ((other - exact).norm() / exact.norm()).item()


def compared(settings: Settings, exact: Scored, other: Scored) -> list[str]:
    """Return the cells of `other`'s line: its distances from `exact`."""
    size = settings.training.group_size
    usable = exact.prefix.any(dim=1)
    groups = exact.rewards.view(-1, size)
    spread = groups.std(dim=1).repeat_interleave(size)

    def advantages(of: Scored) -> torch.Tensor:
        own = of.rewards.view(-1, size)
        return ((own - own.mean(dim=1, keepdim=True)) / (own.std(dim=1, keepdim=True) + 1e-4)).flatten()

    counted = usable & (spread > 0)
    reward_error = ((other.rewards - exact.rewards) / spread)[counted].std().item()
    response_flips = (advantages(other).sign() != advantages(exact).sign())[counted].double().mean().item()

    method: Any = settings.methods[METHOD]
    results = [
        modulate(
            advantages(exact),
            of.signal,
            exact.prefix,
            strength=method.modulation_strength,
            clip_threshold=method.clip_threshold,
            direction_preserving=True,
            bound=method.bound,
        )
        for of in (exact, other)
    ]
    weights = [result.weights[exact.prefix] for result in results]  # type: ignore[index]
    flips = (weights[0].sign() != weights[1].sign()).double()
    away = weights[0].abs() > NOT_NEAR_ZERO
    noise = (other.signal - exact.signal)[exact.prefix].std().item()
    spreads = [row[mask].std().item() for row, mask in zip(exact.signal, exact.prefix, strict=True) if mask.sum() > 1]
    relative = (results[1].advantages - results[0].advantages).abs() / advantages(exact).abs().unsqueeze(1)
    token_error = relative[exact.prefix & (spread > 0).unsqueeze(1)].max().item()
    return [
        f"{reward_error:.1e}",
        f"{response_flips:.1%}",
        f"{noise:.1e} ({noise / statistics.median(spreads):.1e})",
        f"{flips.mean():.1%} ({flips[away].mean():.1%})",
        f"{token_error:.1e}",
    ]


def inputs(arguments: argparse.Namespace, folder: Path) -> tuple[Settings, Path, list[dict[str, Any]]]:
    """Return settings, model and questions: those of a settings file, or the demo's with a model that is built here."""
    settings = load([Path(arguments.settings or DEMO)])
    if arguments.settings:
        layout = Layout(settings.results)
        rows = read_parquet(layout.train)[0].to_dict("records")
        model = Path(layout.model(slug(arguments.model)))
    else:
        rows = [dict(row) for row in synthetic.rows(None, "train", 64, 1)]
        steps = 60 if arguments.brief else 1500
        options = settings.models["small"].model_dump(exclude={"kind", "label"}) | {"steps": steps}
        model = folder / "model"
        tiny.build(model, **options, evaluation_questions=8)
    changed = {"rollout_engine": "transformers", "precision": "fp32", "validate_every": None, "micro_batch_size": 8}
    changed["gradient_checkpointing"] = True
    return settings.model_copy(update={"training": settings.training.model_copy(update=changed)}), model, rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", help="settings whose model and training questions are there already")
    parser.add_argument("--model", help="the entry of the settings' models")
    parser.add_argument("--prompts", type=int, default=4, help="groups of responses")
    parser.add_argument(
        "--brief", action="store_true", help="a model without a pre-training worth its name: does it run?"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        settings, model, questions = inputs(arguments, Path(name))
        size = settings.training.group_size
        rows = training_rows([row for row in questions[: arguments.prompts] for _ in range(size)]).to_list()
        sampler = trainer_of(settings, model, PRECISIONS["float32"], questions[:size], Path(name))
        responses = sampled(sampler, rows)
        results, gradients, own_gradients = {}, {}, {}
        for key, precision in PRECISIONS.items():
            trainer = trainer_of(settings, model, precision, questions[:size], Path(name))
            results[key] = scored(trainer, rows, responses)
            gradients[key] = gradient(sampler, results[key])
            own_gradients[key] = gradient(trainer, results[key])
        half = len(rows) // 2
        halves = [gradient(sampler, results["float64"], part) for part in (slice(half), slice(half, None))]
    exact = results["float64"]
    usable, tokens = int(exact.prefix.any(dim=1).sum()), int(exact.prefix.sum())
    print(f"{len(rows)} responses, {usable} with a box after reasoning, {tokens} prefix tokens")
    heads = (
        "error of R",
        "Â sign changes",
        "error of s",
        "w sign changes",
        "error of Â_t",
        "gradient",
        "all",
        "seconds",
    )
    print("| | " + " | ".join(heads) + " |\n|" + "---|" * (len(heads) + 1))
    for key, result in results.items():
        distances = [
            distance(gradients["float64"], gradients[key]),
            distance(own_gradients["float64"], own_gradients[key]),
        ]
        cells = [*compared(settings, exact, result), *(f"{value:.1e}" for value in distances), f"{result.seconds:.1f}"]
        print(f"| {key} | " + " | ".join(cells) + " |", flush=True)
    print(f"gradients of two halves of the groups: {distance(*halves):.1e}")


if __name__ == "__main__":
    main()
