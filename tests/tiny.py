"""A model, questions and settings small enough that a whole training run takes seconds."""

import os
from pathlib import Path

import pandas as pd
import yaml

from generalthinker.config.load import load
from generalthinker.config.reporting import RunChoice
from generalthinker.config.training import EvaluationSettings
from generalthinker.data import synthetic
from generalthinker.files import write_parquet
from generalthinker.identity import identity_of_run
from generalthinker.models.tiny import build
from generalthinker.paths import Layout
from generalthinker.records import slug
from generalthinker.training import run as running
from generalthinker.training.start import finished_before

DEMO = Path(__file__).parent.parent / "config/demo.yaml"
VALIDATION_QUESTIONS = 24
EVALUATION = EvaluationSettings(engine="transformers", dtype="float32", max_new_tokens=24, max_model_len=256, suites={})
COLUMNS = ["id", "question", "answer", "answer_type", "options", "answer_letter", "domain"]


def write_model(folder: Path, seed: int = 1) -> None:
    """Write a Qwen2 that has read just enough to end most of its answers and to box many."""
    build(
        folder,
        hidden_size=64,
        layers=2,
        heads=2,
        key_value_heads=1,
        intermediate_size=96,
        steps=240,
        batch_size=16,
        learning_rate=4e-3,
        vocabulary_size=400,
        worked_share=0.5,
        slip_share=0.2,
        answer_conditioned_share=0.2,
        seed=seed,
        evaluation_questions=8,
    )


VERIFIER = {
    "hidden_size": 64,
    "layers": 2,
    "heads": 2,
    "key_value_heads": 2,
    "intermediate_size": 128,
    "vocabulary_size": 480,
    "steps": 700,
    "batch_size": 8,
    "learning_rate": 2e-3,
}


def questions(count: int, seed: int = 3) -> list[dict]:
    """Return training questions with the columns of `records.Question`."""
    return [{name: row[name] for name in COLUMNS} for row in synthetic.rows(None, "train", count, seed)]


def settings(folder: Path, model: Path, methods: dict | None = None, verifier: Path | None = None, **training):
    """Return the demo's settings shrunk to `training`, with its data and model in place below `folder`/results.

    `methods` are added to the demo's, and `verifier` is the folder of a model of the name "verifier".
    """
    override = folder / "override.yaml"
    small = {
        "max_steps": 4,
        "batch_size": 16,
        "group_size": 4,
        "micro_batch_size": 8,
        "max_completion_tokens": 48,
        "save_every": 1,
        "keep_checkpoints": 2,
        "keep_adapters": False,
        "validate_every": None,
        "lora": {"rank": 4, "alpha": 8},
    }
    results = folder / "results"
    own = {"results": str(results), "seeds": [5], "training": small | training, "methods": methods or {}}
    if verifier:
        own["models"] = {"verifier": {"kind": "tiny_verifier", "label": "V", **VERIFIER}}
    override.write_text(yaml.safe_dump(own))
    loaded = load([DEMO, override])
    layout = Layout(str(results))
    write_parquet(layout.train, pd.DataFrame(questions(32)).assign(source="Synthetic"))
    write_parquet(layout.validation, pd.DataFrame(questions(VALIDATION_QUESTIONS, seed=4)).assign(source="Synthetic"))
    for name, source in (("small", model), ("verifier", verifier)):
        target = Path(layout.model(slug(name)))
        if source and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source)
    return loaded


def train(settings, run, processes: int = 1) -> None:
    """Train `run` to its end as the command line does, in this process."""
    identity = identity_of_run(settings, run)
    if not finished_before(settings, run, identity, "ask"):
        running.train(settings, run, identity, processes)
        if os.environ.get("RANK", "0") == "0":
            finished_before(settings, run, identity, "ask")


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a command that is started by a test."""
    return os.environ | {"OMP_NUM_THREADS": "1"} | more


def choice(method: str) -> RunChoice:
    """Return the tiny model trained by `method`."""
    return RunChoice(model="small", method=method)
