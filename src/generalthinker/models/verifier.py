"""Build the demo's verifier: a tiny Qwen2 that compares an answer to a synthetic question with the reference.

Its teacher follows a rule: it writes the characters of both answers in pairs, marks those that differ, and decides. The
model must know no answer, as the prompt has the reference, and needs a minute of pre-training.
"""

import itertools
import random
import time
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken

from generalthinker import prompts
from generalthinker.data import synthetic
from generalthinker.models import tiny
from generalthinker.models.warm_up import warm_up

# Shares of the answers in pre-training that are right, and missing; the others are wrong.
RIGHT, MISSING = 0.5, 0.05
LETTER_ALONE = 0.3  # of the right answers to multiple choice
VERDICT_TOKENS = 60


def student_answer(row: synthetic.SyntheticRow, rng: random.Random) -> str | None:
    """Return an answer as a student may give it: right, wrong or missing."""
    drawn = rng.random()
    if drawn < RIGHT:
        return row["answer_letter"] if row["options"] and rng.random() < LETTER_ALONE else row["answer"]
    if drawn < RIGHT + MISSING:
        return None
    if row["options"] is not None:
        _, *labelled = row["question"].split("\n\n")
        return rng.choice([one for one in labelled if one != row["answer"]])
    if rng.random() < 0.5:
        return tiny.boxed(row["slip"])
    place = rng.randrange(len(row["answer"]))
    other = str((int(row["answer"][place]) + rng.randint(1, 9)) % 10)
    return row["answer"][:place] + other + row["answer"][place + 1 :]


def verdict(row: synthetic.SyntheticRow, student: str | None) -> str:
    """Return what the teacher writes about an answer; of multiple choice it compares the letters."""
    expected, given = row["answer_letter"] or row["answer"], student or "-"
    if row["options"] is not None:
        given = given[0]
    pairs = [*itertools.zip_longest(expected, given, fillvalue="-")]
    compared = "".join(f" {one}{other}{'=' if one == other else '/'}" for one, other in pairs)
    return f"{compared}. Final Decision: {'Yes' if expected == given else 'No'}"


def lessons(rows: list[synthetic.SyntheticRow], count: int, seed: int) -> list[tuple[str, str]]:
    """Return `count` pre-training texts as (prompt, verdict); `rows` are repeated as often as needed."""
    rng = random.Random(f"verdicts:{seed}")
    pairs = []
    for row in itertools.islice(itertools.cycle(rows), count):
        student = student_answer(row, rng)
        prompt = prompts.verifier_prompt(row["question"], row["answer"], student)
        pairs.append((prompt, verdict(row, student)))
    return pairs


@torch.no_grad()
def agreement(model, tokenizer, rows: list[synthetic.SyntheticRow], seed: int) -> dict[str, float]:
    """Return accuracy, and the shares of wrong answers accepted and of right answers rejected, against the rule."""
    rng = random.Random(f"held out:{seed}")
    students = [student_answer(row, rng) for row in rows]
    asked = [
        prompts.verifier_prompt(row["question"], row["answer"], one) for row, one in zip(rows, students, strict=True)
    ]
    encoded = tokenizer(asked, return_tensors="pt", padding=True)
    written = model.generate(**encoded, max_new_tokens=VERDICT_TOKENS, do_sample=False)
    texts = tokenizer.batch_decode(written[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
    right = [verdict(row, one).endswith("Yes") for row, one in zip(rows, students, strict=True)]
    accepted = ["Final Decision: Yes" in text for text in texts]
    pairs = [*zip(right, accepted, strict=True)]
    return {
        "accuracy": sum(one == other for one, other in pairs) / len(pairs),
        "false_accepts": sum(yes and not fit for fit, yes in pairs) / max(1, right.count(False)),
        "false_rejects": sum(fit and not yes for fit, yes in pairs) / max(1, right.count(True)),
    }


def build(
    out: Path,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    vocabulary_size: int,
    seed: int,
    evaluation_questions: int = 400,
    **geometry: int,
) -> dict[str, Any]:
    """Build and pre-train a tiny verifier and write it to `out` as a complete Hugging Face model folder.

    `geometry` is that of `tiny.untrained`. Returns the content of `pretraining.json` in the folder: the settings, the
    final loss, `agreement` on held-out questions, the number of parameters and the duration in seconds. The same
    settings give the same weights, as for `tiny.build`.
    """
    settings = {name: value for name, value in locals().items() if name not in ("out", "geometry")} | geometry
    started = time.monotonic()
    torch.manual_seed(seed)
    pool = synthetic.rows(None, "pretrain", tiny.PRETRAINING_QUESTIONS, seed)
    fixed = (prompts.VERIFIER_INSTRUCTION, "User: ### Question: ", "### Ground Truth Answer: ", "### Student Answer: ")
    tokenizer = tiny.train_tokenizer(pool[:4000], vocabulary_size - len(fixed))
    tokenizer.add_tokens([AddedToken(text) for text in fixed])
    model = tiny.untrained(tokenizer, **geometry)
    texts = lessons(pool, steps * batch_size, seed)
    trained = warm_up(
        model, tokenizer, texts, steps=steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed
    )
    held_out = synthetic.rows(None, "validation", evaluation_questions, seed)
    record = {
        "settings": settings,
        "final_loss": trained.final_loss,
        "held_out": agreement(model, tokenizer, held_out, seed),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "threads": torch.get_num_threads(),
        "seconds": round(time.monotonic() - started, 1),
    }
    tiny.save(out, model, tokenizer, record)
    return record
