"""Real vLLM engines on the CPU that get the adapter in all ways and in both precisions, in one process.

    python tests/vllm_weights.py <model folder> <scratch folder> <report.json>

Per precision and way, the report has the largest distance between the engine's and the trainer's log-probability of a
token, in responses to prompts longer than a block of the prefix cache, each asked twice: after a sync, after a change
of the adapter without one, after a sync that leaves the prefix cache as it was, and after another sync. In bfloat16 it
also has the share of a change of the weights by 1e-3 that the engine sees. Last, it says whether a run with stochastic
rounding that is stopped and resumed has the results of an uninterrupted one.
"""

import gc
import json
import os
import signal
import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer, TrainerCallback

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import rollout_engine  # sets vLLM's environment
import tiny
from generalthinker.data import synthetic
from generalthinker.paths import Layout
from generalthinker.prompts import question_prompt
from generalthinker.training import run as running
from generalthinker.training.interrupt import InterruptedTrainingError
from rollout_engine import MODES, Engine, reference, slope, trained_adapter

CHANGE = 1e-3  # δ / W
STEPS, STOP = 4, 2


def random_factors(engine: Engine, seed: int) -> dict[str, torch.Tensor]:
    """Return A and B of an adapter that changes every layer's weights by about a tenth."""
    torch.manual_seed(seed)
    named = {name: p for name, p in engine.trainer.model.named_parameters() if "lora_" in name}
    return {name: torch.randn(p.shape) * (0.02 if "lora_B" in name else 0.1) for name, p in named.items()}


def gap(engine: Engine, prompts: list[list[int]]) -> float:
    """Return the largest distance of the log-probabilities of tokens sampled now."""
    rows, logps, _ = engine.sample(prompts)
    return (engine.trainer_logps(rows, 1) - logps).abs().max().item()


def gaps(engine: Engine, mode: str, prompts: list[list[int]]) -> dict[str, float]:
    """Return the gap after a sync, and after what is left out of one."""
    found = {}
    engine.set(random_factors(engine, 1), 1.0, mode)
    found["synced"] = gap(engine, prompts)
    generation, sync = engine.trainer.vllm_generation, engine.trainer.vllm_generation.sync_weights
    generation.sync_weights = lambda: None
    rollout_engine.load_factors(engine.trainer.model, random_factors(engine, 2), 1.0)
    found["no sync"] = gap(engine, prompts)
    generation.sync_weights = sync
    reset, engine.llm.reset_prefix_cache = engine.llm.reset_prefix_cache, lambda: True
    sync()
    found["no reset"] = gap(engine, prompts)
    engine.llm.reset_prefix_cache = reset
    sync()
    found["synced again"] = gap(engine, prompts)
    return found


def shares(engine: Engine, modes: list[str], model: Path, rows) -> dict[str, float]:
    """Return the share of the change of log-probabilities that the engine, and the trainer, sees."""
    factors, size = trained_adapter(model, steps=20)  # a random direction would change them too little
    scale = CHANGE / size
    exact = reference(model, torch.bfloat16, factors)
    expected = exact(rows, scale) - exact(rows, 0.0)
    found = {}
    for mode in modes:
        engine.set(factors, 0.0, mode)
        before, own_before = engine.engine_logps(rows), engine.trainer_logps(rows, 32)
        engine.set(factors, scale, mode)
        found[mode] = slope(engine.engine_logps(rows) - before, expected)[0]
        found["trainer"] = slope(engine.trainer_logps(rows, 32) - own_before, expected)[0]
    return found


class StopOnce(TrainerCallback):
    """Sends the signal that ends a training after its step."""

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == STOP:
            os.kill(os.getpid(), signal.SIGTERM)


def trained(folder: Path, model: Path, stopped: bool) -> list[bytes]:
    """Return adapter and history of a training with stochastic rounding, which `stopped` and resumed or not."""
    folder.mkdir()
    settings = tiny.settings(
        folder, model, rollout_engine="vllm", rollout_weights="stochastic", precision="bf16", max_steps=STEPS,
        batch_size=8, micro_batch_size=4, learning_rate=1e-3, save_every=100,
    )  # fmt: skip
    [run] = settings.runs(tiny.choice("Binary-RL"))
    if stopped:
        build = running.build_trainer

        def with_stop(*arguments):
            trainer = build(*arguments)
            trainer.add_callback(StopOnce())
            return trainer

        running.build_trainer = with_stop
        try:
            tiny.train(settings, run)
        except InterruptedTrainingError:
            running.build_trainer = build
        else:
            raise AssertionError("the training was not stopped")
    tiny.train(settings, run)
    layout = Layout(settings.results)
    adapter = Path(layout.adapter(run.name)) / "adapter_model.safetensors"
    return [adapter.read_bytes(), Path(layout.history(run.name)).read_bytes()]


def main(model: Path, folder: Path, report: Path) -> None:
    """Write the report."""
    rollout_engine.prepare()
    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    questions = synthetic.rows(None, "train", 40, 2)
    asked = tokenizer([question_prompt(tokenizer, row["question"]) for row in questions], add_special_tokens=False)
    solutions = tokenizer([row["solution"] for row in questions], add_special_tokens=False)
    rows = [*zip(asked["input_ids"], solutions["input_ids"], strict=True)]
    found = {"gaps": {}, "prompt tokens": 150}
    prompts = [(ids * 20)[: found["prompt tokens"]] for ids, _ in rows[:4] for _ in range(2)]
    for precision in ("fp32", "bf16"):
        for kind in dict.fromkeys(MODES.values()):
            engine = Engine(folder, model, precision, kind)
            found["block"] = engine.llm.llm_engine.vllm_config.cache_config.block_size
            modes = [mode for mode in MODES if MODES[mode] == kind]
            for mode in modes:
                found["gaps"][f"{precision} {mode}"] = gaps(engine, mode, prompts)
            if precision == "bf16":
                found[f"shares {kind}"] = shares(engine, modes, model, rows)
            del engine
            gc.collect()
    found["resumed alike"] = trained(folder / "a", model, False) == trained(folder / "b", model, True)
    report.write_text(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*map(Path, sys.argv[1:]))
