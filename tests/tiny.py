"""A model, questions and settings small enough that a whole training run takes seconds."""

import random
from pathlib import Path

import torch
import yaml
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

from generalthinker.config.load import load
from generalthinker.data import synthetic
from generalthinker.files import write_parquet
from generalthinker.models import tiny as pretraining
from generalthinker.paths import Layout
from generalthinker.records import slug

DEMO = Path(__file__).parent.parent / "config/demo.yaml"
COLUMNS = ["id", "question", "answer", "answer_type", "options", "answer_letter", "domain"]
PRETRAINING_STEPS = 120


def write_model(folder: Path, seed: int = 1) -> None:
    """Write a Qwen2 that has read just enough to box its answers, and a tokenizer with a chat template."""
    rows = synthetic.rows(None, "pretrain", 640, seed)
    texts = [text for row in rows for text in (row["question"], row["solution"], row["guess"])]
    tokenizer = pretraining.train_tokenizer([*texts, "user\n", "assistant\n"], 400)
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=400,
            hidden_size=48,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            dtype="float32",
        )
    )
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    rng = random.Random(seed)
    lessons = []
    for _ in range(PRETRAINING_STEPS * 16):
        prompt, written = pretraining.lesson(tokenizer, rng.choice(rows), rng, worked=0.5, conditioned=0.2)
        asked, answered = tokenizer(prompt)["input_ids"], tokenizer(written)["input_ids"]
        lessons.append((asked + answered, len(asked)))
    pretraining.pretrain(model, lessons, batch_size=16, learning_rate=4e-3, rng=rng)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def questions(count: int, seed: int = 3) -> list[dict]:
    """Return training questions with the columns of `records.Question`."""
    return [{name: row[name] for name in COLUMNS} for row in synthetic.rows(None, "train", count, seed)]


def settings(folder: Path, model: Path, **training):
    """Return the demo's settings shrunk to `training`, with its data and model in place below `folder`/results."""
    override = folder / "override.yaml"
    small = {
        "max_steps": 4,
        "batch_size": 16,
        "group_size": 4,
        "micro_batch_size": 8,
        "max_completion_tokens": 32,
        "save_every": 1,
        "lora": {"rank": 4, "alpha": 8},
    }
    results = folder / "results"
    override.write_text(yaml.safe_dump({"results": str(results), "seeds": [5], "training": small | training}))
    loaded = load([DEMO, override])
    layout = Layout(str(results))
    import pandas as pd

    write_parquet(layout.train, pd.DataFrame(questions(32)).assign(source="Synthetic"))
    target = Path(layout.model(slug("small")))
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(model)
    return loaded
