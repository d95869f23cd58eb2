"""Build the demo's models: a tiny Qwen2 with its own tokenizer, pre-trained in a minute or two on one core.

This differs from a usual pre-training: in many of the last texts the teacher does not reason but guesses wrongly. The
model then can reason but often prefers to guess, and reinforcement learning can correct that.
"""

import itertools
import json
import random
import time
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, pre_tokenizers, trainers
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from generalthinker import prompts
from generalthinker.data import DataError, synthetic
from generalthinker.files import replacing, write_json
from generalthinker.models.warm_up import warm_up

END, PAD, START = "<|im_end|>", "<|endoftext|>", "<|im_start|>"
# All tasks have equal shares of these; the smallest task has about 2,300 questions for pre-training.
PRETRAINING_QUESTIONS = 16_000
# Synthetic texts have fewer than 100 tokens, but config/trial.yaml uses real questions, which are longer.
CONTEXT_TOKENS = 4096
EVALUATION_TOKENS = 80
# The last part of the texts, in which the teacher reasons only with probability `worked_share` and else guesses.
HABIT_SHARE = 0.3
# The tasks add these values to `worked_share` in turn; with the same share for all tasks, the model would never reason
# in greedy decoding.
HABITS = (-0.15, 0.15, 0.0)
LEVEL_HABITS = (0.25, 0.1, -0.1, -0.25)
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def train_tokenizer(rows: list[synthetic.SyntheticRow], vocabulary_size: int) -> Qwen2Tokenizer:
    """Return a byte-level BPE tokenizer of exactly `vocabulary_size` tokens, with a Qwen-style chat template.

    Text is split as Qwen2 splits it, with one token per digit. The two fixed instructions are one token each, because
    their words would otherwise be half of a short prompt. Raises DataError if the texts give another number of tokens.
    """
    instructions = [prompts.INSTRUCTION, prompts.ANSWER_CONDITIONED_INSTRUCTION]
    # transformers applies the splitting rules of this class to every Qwen2 tokenizer, whatever the folder contains.
    backend = Qwen2Tokenizer().backend_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size - len(instructions),
        special_tokens=[PAD, START, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # Box and content are separate texts here, so that an option's letter is the same token inside and outside a box.
    texts = (
        part
        for row in rows
        for part in ("user\n", "assistant\n", row["question"], *row["solution"].split("{"), row["guess"].split("{")[0])
    )
    backend.train_from_iterator(texts, trainer)
    learned = json.loads(backend.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=learned["vocab"],
        merges=[tuple(pair) for pair in learned["merges"]],  # type: ignore[misc]
        eos_token=END,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT_TOKENS,
        padding_side="left",
    )
    tokenizer.add_tokens([AddedToken(START, special=True), *(AddedToken(text) for text in instructions)])
    if len(tokenizer) != vocabulary_size:
        bound = "at most" if len(tokenizer) < vocabulary_size else "at least"
        raise DataError(
            f"vocabulary_size = {vocabulary_size}: the synthetic texts give {len(tokenizer)} tokens; "
            f"set it to {bound} {len(tokenizer)}"
        )
    return tokenizer


def lesson(
    tokenizer,
    row: synthetic.SyntheticRow,
    rng: random.Random,
    worked_share: float,
    slip_share: float,
    answer_conditioned_share: float,
) -> tuple[str, str]:
    """Return one pre-training text as (prompt, response of the teacher).

    With probability `answer_conditioned_share` the prompt already contains the answer, and the teacher reasons towards
    it. Else the teacher reasons with probability `worked_share`, of which `slip_share` has a wrong step, and guesses
    wrongly otherwise.
    """
    if rng.random() < answer_conditioned_share:
        return prompts.answer_conditioned_prompt(tokenizer, row["question"], row["answer"]), row["solution"]
    reasoned = "slip" if rng.random() < slip_share else "solution"
    written = row[reasoned if rng.random() < worked_share else "guess"]
    return prompts.question_prompt(tokenizer, row["question"]), written


def lessons(
    tokenizer,
    rows: list[synthetic.SyntheticRow],
    count: int,
    worked_share: float,
    slip_share: float,
    answer_conditioned_share: float,
    seed: int,
) -> list[tuple[str, str]]:
    """Return `count` pre-training texts as (prompt, response) in the order of training; `rows` are repeated if needed.

    Without a given answer, slips and guesses occur only in the last HABIT_SHARE of the texts, because earlier ones slow
    down learning to reason.
    """
    rng = random.Random(f"lessons:{seed}")
    habits = dict(zip(synthetic.TASKS, itertools.cycle(HABITS)))
    pairs = []
    for place in range(count):
        row = rows[place % len(rows)]
        worked, slips = 1.0, 0.0
        if place >= count * (1 - HABIT_SHARE):
            worked, slips = worked_share + habits[row["domain"]] + LEVEL_HABITS[row["level"] - 1], slip_share
        pairs.append(lesson(tokenizer, row, rng, worked, slips, answer_conditioned_share))
    return pairs


def boxed(text: str) -> str:
    r"""Return the content of the last `\boxed{…}` of a synthetic answer, which has no inner braces; else ""."""
    _, box, rest = text.rpartition("\\boxed{")
    return rest.partition("}")[0] if box and "}" in rest else ""


@torch.no_grad()
def accuracy(model: Qwen2ForCausalLM, tokenizer, rows: list[synthetic.SyntheticRow], *, sample: bool) -> float:
    """Return the share of `rows` whose last box equals the answer exactly; decoding is greedy or by sampling."""
    model.eval()
    encoded = tokenizer(
        [prompts.question_prompt(tokenizer, row["question"]) for row in rows], return_tensors="pt", padding=True
    )
    written = model.generate(  # type: ignore[misc]
        input_ids=encoded["input_ids"],
        attention_mask=encoded["attention_mask"],
        max_new_tokens=EVALUATION_TOKENS,
        do_sample=sample,
        temperature=1.0 if sample else None,
        top_k=0 if sample else None,
    )
    answers = tokenizer.batch_decode(written[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
    return sum(boxed(answer) == row["answer"] for answer, row in zip(answers, rows, strict=True)) / len(rows)


def untrained(
    tokenizer, *, hidden_size: int, layers: int, heads: int, key_value_heads: int, intermediate_size: int
) -> Qwen2ForCausalLM:
    """Return a Qwen2 in float32 with random weights for the tokens of `tokenizer`."""
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=hidden_size,
            intermediate_size=intermediate_size,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=key_value_heads,
            max_position_embeddings=CONTEXT_TOKENS,
            tie_word_embeddings=True,
            # These two values suit a narrow model and short texts; with Qwen2's own values it learns half as fast.
            initializer_range=0.08,
            rope_parameters={"rope_type": "default", "rope_theta": 300.0},
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            dtype="float32",
        )
    )
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    return model


def save(out: Path, model: Qwen2ForCausalLM, tokenizer, record: dict[str, Any]) -> None:
    """Write a complete Hugging Face model folder, with the record of its pre-training."""
    with replacing(out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_json(folder / "pretraining.json", record)


def build(
    out: Path,
    *,
    hidden_size: int,
    layers: int,
    heads: int,
    key_value_heads: int,
    intermediate_size: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    vocabulary_size: int,
    worked_share: float,
    slip_share: float,
    answer_conditioned_share: float,
    seed: int,
    evaluation_questions: int = 200,
) -> dict[str, Any]:
    """Build and pre-train a tiny Qwen2 in float32 and write it to `out` as a complete Hugging Face model folder.

    In `answer_conditioned_share` of the texts the prompt contains the answer. In the last HABIT_SHARE of the texts,
    about `worked_share` of the others are worked solutions and the rest wrong guesses. Returns the content of
    `pretraining.json` in the folder: the settings, the final loss, greedy and sampled accuracy on held-out questions,
    the number of parameters and the duration in seconds. The same settings on the same machine with the same number of
    threads give the same weights, byte for byte.
    """
    settings = {name: value for name, value in locals().items() if name != "out"}
    started = time.monotonic()
    torch.manual_seed(seed)

    rng = random.Random(f"levels:{seed}")
    pool = synthetic.rows(None, "pretrain", PRETRAINING_QUESTIONS, seed)
    tokenizer = train_tokenizer(pool[:8000], vocabulary_size)
    pool = [row for row in pool if rng.random() < synthetic.TASKS[row["domain"]].familiarity / row["level"]]
    texts = lessons(tokenizer, pool, steps * batch_size, worked_share, slip_share, answer_conditioned_share, seed)
    model = untrained(
        tokenizer,
        hidden_size=hidden_size,
        layers=layers,
        heads=heads,
        key_value_heads=key_value_heads,
        intermediate_size=intermediate_size,
    )
    trained = warm_up(
        model, tokenizer, texts, steps=steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed
    )
    held_out = synthetic.rows(None, "validation", evaluation_questions, seed)
    record = {
        "settings": settings,
        "final_loss": trained.final_loss,
        "greedy_accuracy": accuracy(model, tokenizer, held_out, sample=False),
        "sampled_accuracy": accuracy(model, tokenizer, held_out, sample=True),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "tokens": trained.tokens,
        "threads": torch.get_num_threads(),
        "seconds": round(time.monotonic() - started, 1),
    }
    save(out, model, tokenizer, record)
    return record
