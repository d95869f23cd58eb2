"""One real response of a trained policy, token by token: what equations 7 to 14 make of it."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from generalthinker.config.settings import Settings
from generalthinker.credit.modulation import bounded_weights, clip_and_recentre, normalise
from generalthinker.errors import StageError
from generalthinker.files import write_text
from generalthinker.paths import Layout
from generalthinker.records import RunSpec
from generalthinker.training.run import build_trainer, grpo_arguments, load_adapter
from generalthinker.training.trainer import GeneralThinkerTrainer

QUESTIONS = 16


class NothingToShowError(StageError, ValueError):
    """The run has no token-level credit, or sampled no response that shows it."""


def write_walkthrough(settings: Settings, run: RunSpec, out: Path) -> None:
    """Write the tokens of one response of `run`'s trained policy to `out` (CSV), with the numbers credit gives them.

    Samples a group for each of the first training questions as a training step would, and keeps the response whose
    advantages are moved most, all tokens together. Columns: `token`, `in_prefix`, `s` (equation 7), `m` (8, 9),
    `clipped` (m̄, 11), `w` (12, 13; direction-preserving methods only), `response_advantage` (Â), `advantage` (10, 14),
    and in every line `question` and `answer`, the reference.
    """
    method, training = settings.methods[run.method], settings.training
    if not method.advantage_modulation:
        raise NothingToShowError(f"{run.name}: {run.method} gives every token the response's advantage")
    layout = Layout(settings.results)
    with TemporaryDirectory() as unused:
        trainer = build_trainer(settings, run, grpo_arguments(settings, run, 1, unused))
    load_adapter(trainer.model, Path(layout.adapter(run.name)))
    trainer.model.train()
    questions = trainer.train_dataset.select(range(min(QUESTIONS, len(trainer.train_dataset)))).to_list()
    frames = [frame for question in questions for frame in _group(trainer, [question] * training.group_size)]
    if not frames:
        raise NothingToShowError(f"{run.name}: no response to {len(questions)} questions has reasoning and a box")
    shown = max(frames, key=lambda frame: (frame["advantage"] - frame["response_advantage"]).abs().sum())
    write_text(out, shown.to_csv(index=False))


def _group(trainer: GeneralThinkerTrainer, rows: list[dict]) -> list[pd.DataFrame]:
    """Return one table per response of a sampled group that has a reasoning prefix."""
    output = trainer._generate_and_score_completions(rows)
    mask = trainer.prefix_mask(output)
    signal = trainer._signal(rows, output, mask)
    m = normalise(signal, mask)
    threshold = trainer.run.clip_threshold
    clipped = m if threshold is None else clip_and_recentre(m, mask, threshold)
    columns = {"s": signal, "m": m, "clipped": clipped}
    if trainer.method.direction_preserving:
        columns["w"] = bounded_weights(clipped, mask, trainer.settings.bound)
    frames = []
    for i, ids in enumerate(output["completion_ids"]):
        count = int(output["completion_mask"][i].sum())
        prefix = trainer._prefix_lengths[i]
        if not 0 < prefix < count:
            continue
        frame = pd.DataFrame({"token": [trainer._tokenizer.decode([token]) for token in ids[:count].tolist()]})
        frame["in_prefix"] = mask[i, :count].tolist()
        for name, values in columns.items():
            frame[name] = pd.Series(values[i, :count].tolist()).where(frame["in_prefix"])
        advantages = output["advantages"][i, :count].tolist()
        frame["response_advantage"] = advantages[prefix]  # tokens after the prefix keep it
        frame["advantage"] = advantages
        frame[["question", "answer"]] = rows[i]["question"], rows[i]["answer"]
        frames.append(frame)
    return frames
