"""Build the training mixture: filter questions, remove duplicates, decontaminate, and draw.

The draw depends on the seed and the questions, not on the order of the rows or on the machine.
"""

import hashlib
import logging
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from generalthinker.answers.boxed import BOX, last_box
from generalthinker.config import Settings
from generalthinker.config.data import TrainingSourceSettings
from generalthinker.data import DataError
from generalthinker.data.adapt import adapt
from generalthinker.data.fetch import fetch
from generalthinker.data.hub import NoAccessError
from generalthinker.data.identity import content_key, identity
from generalthinker.data.lengths import prompt_lengths
from generalthinker.data.questions import digest, read_questions, write_questions
from generalthinker.data.sources import get
from generalthinker.files import read_json, write_json
from generalthinker.records import Question

log = logging.getLogger(__name__)
MAX_OPTIONS = 10


@dataclass(slots=True)
class Pool:
    """One source of the mixture: the remaining `questions` by identity, and the number of dropped rows by reason."""

    name: str
    source: TrainingSourceSettings
    origin: str
    commit: str | None
    rows_read: int
    dropped: Counter[str]
    questions: dict[str, Question] = field(default_factory=dict)

    def drop(self, reason: str, identities: list[str]) -> None:
        """Remove questions and count them under `reason`."""
        for key in identities:
            del self.questions[key]
        self.dropped[reason] += len(identities)


def build_mixture(
    settings: Settings, benchmarks: list[Path], tokenizer: Path, train: Path, validation: Path, manifest: Path
) -> None:
    """Write `train_rows` + `validation_rows` questions with their prompt lengths, and a manifest that counts every row.

    `benchmarks` are the question files of the open benchmarks in `decontaminate_against`, `tokenizer` is the folder of
    the tokenizer that counts prompt tokens. No training question may occur in a listed benchmark. Gated benchmarks are
    read here, and the manifest names those that cannot be read. Raises DataError if another dataset cannot be read or
    too few questions remain.
    """
    data = settings.data
    pools = [_pool(settings, name, source) for name, source in data.sources.items()]
    _drop_repeated(pools)
    held_out = {identity(question) for path in benchmarks for question in read_questions(path)[0]}
    gated, unread = _gated(settings, settings.gated_benchmarks)
    held_out.update(*gated.values())
    tokens: dict[str, int] = {}
    for pool in pools:
        pool.drop("in_benchmark", [key for key in pool.questions if key in held_out])
        lengths = prompt_lengths([question.question for question in pool.questions.values()], tokenizer, pool.name)
        tokens.update(zip(pool.questions, lengths, strict=True))
        pool.drop("prompt_too_long", [key for key in pool.questions if tokens[key] > data.max_prompt_tokens])
    drawn = draw(pools, data.train_rows + data.validation_rows, data.seed)
    ordered = sorted(drawn, key=lambda key: _rank(data.seed, "split", key))
    kept_out, kept_in = ordered[: data.validation_rows], ordered[data.validation_rows :]
    chosen = {"train": sorted(kept_in, key=lambda key: _rank(data.seed, "order", key)), "validation": kept_out}
    written = {split: [drawn[key] for key in keys] for split, keys in chosen.items()}
    record: dict[str, Any] = {
        "seed": data.seed,
        "max_prompt_tokens": data.max_prompt_tokens,
        "tokenizer_model": data.tokenizer_model,
        "decontaminated_against": sorted(set(settings.data.decontaminate_against) - set(unread)),
        "not_decontaminated_against": unread,
        "sources": {pool.name: _account(pool, chosen) for pool in pools},
        **{split: {"rows": len(rows), "sha256": digest(rows)} for split, rows in written.items()},
    }
    for path, split in ((train, "train"), (validation, "validation")):
        metadata = {"split": split, "seed": data.seed, **record[split]}
        write_questions(path, written[split], metadata, [tokens[key] for key in chosen[split]])
    write_json(manifest, record)


def occurring(settings: Settings, train: Path, validation: Path, manifest: Path) -> dict[str, int]:
    """Return how many drawn questions occur in each benchmark that could not be read for the mixture but can be now.

    Where none occur, a rebuilt mixture would be the same, because only these questions would be left out.
    """
    readable, _ = _gated(settings, list(read_json(manifest).get("not_decontaminated_against", {})))
    written = {identity(question) for path in (train, validation) for question in read_questions(path)[0]}
    return {name: len(written & questions) for name, questions in readable.items()}


def write_overlap(benchmark: Path, train: Path, validation: Path, out: Path) -> None:
    """Write how many training and validation questions occur in a benchmark that the mixture was not compared with."""
    asked = {identity(question) for question in read_questions(benchmark)[0]}
    files = {"train": train, "validation": validation}
    write_json(
        out,
        {split: sum(identity(q) in asked for q in read_questions(path)[0]) for split, path in files.items()},
    )


def draw(pools: list[Pool], count: int, seed: int) -> dict[str, Question]:
    """Return `count` questions by identity: all of the `take: all` sources first, the rest from the `fill` sources.

    If there are more than `count`, those with the smallest hash of seed and text are drawn. Raises DataError if there
    are too few.
    """
    drawn: dict[str, Question] = {}
    for take in ("all", "fill"):
        offered = {key: q for pool in pools if pool.source.take == take for key, q in pool.questions.items()}
        ranked = sorted(offered, key=lambda key: _rank(seed, "draw", key))
        drawn.update((key, offered[key]) for key in ranked[: count - len(drawn)])
    if len(drawn) < count:
        lines = [
            f"  {pool.name}: {pool.rows_read:,} rows read, {len(pool.questions):,} survive"
            + "".join(f", {number:,} {reason}" for reason, number in sorted(pool.dropped.items()) if number)
            for pool in pools
        ]
        raise DataError(
            f"data: train_rows + validation_rows = {count:,}, but only {len(drawn):,} questions survive the filters\n"
            + "\n".join(lines)
            + "\nAsk for fewer rows, raise `max_prompt_tokens`, or add a source under `data.sources`."
        )
    return drawn


def _pool(settings: Settings, name: str, source: TrainingSourceSettings) -> Pool:
    fetched = fetch(source, settings.mirror, settings.data.seed)
    adapted = adapt(source, fetched, tolerant=True)
    pool = Pool(name, source, fetched.origin, fetched.commit, len(fetched.rows), adapted.dropped)
    del fetched  # the rows take a third of the memory
    for question in adapted.questions:
        if reason := _unsuitable(question):
            pool.dropped[reason] += 1
            continue
        key = identity(question)
        question = replace(question, id=f"{name}/{question.id}")
        if key in pool.questions:
            pool.dropped["duplicate"] += 1
            question = min(pool.questions[key], question, key=content_key)
        pool.questions[key] = question
    return pool


def _gated(settings: Settings, names: list[str]) -> tuple[dict[str, set[str]], dict[str, str]]:
    """Return, by name, the identities of the questions of readable benchmarks, and why the others cannot be read."""
    read: dict[str, set[str]] = {}
    unread: dict[str, str] = {}
    for name in names:
        benchmark = settings.benchmarks[name]
        try:
            fetched = fetch(benchmark, settings.mirror, settings.data.seed)
        except NoAccessError as error:
            log.warning("Training questions are not compared with %s: %s", name, error)
            unread[name] = f"gated, and {benchmark.dataset} could not be read"
        else:
            read[name] = {identity(question) for question in adapt(benchmark, fetched).questions}
    return read, unread


def _unsuitable(question: Question) -> str | None:
    """Return why a question cannot be used for training, or None if it can."""
    if not question.question.strip() or not question.answer.strip():
        return "empty"
    if question.options is not None and len(question.options) > MAX_OPTIONS:
        return "too_many_options"
    box = last_box(f"{BOX}{question.answer}}}")
    # If the answer cannot be read back from a box, no response can be graded as correct.
    return None if box and box.content == question.answer else "answer_not_boxable"


def _drop_repeated(pools: list[Pool]) -> None:
    """Drop every question that also occurs in an earlier source."""
    seen: set[str] = set()
    for pool in pools:
        pool.drop("duplicate", [key for key in pool.questions if key in seen])
        seen.update(pool.questions)


def _rank(seed: int, purpose: str, key: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{purpose}\n{key}".encode("utf-8", "surrogatepass")).digest()


def _account(pool: Pool, chosen: dict[str, list[str]]) -> dict[str, Any]:
    """Count a source's rows: read = dropped + survived, survived = train + validation + not drawn."""
    drawn = {split: [pool.questions[key] for key in keys if key in pool.questions] for split, keys in chosen.items()}
    counts = {split: len(rows) for split, rows in drawn.items()}
    return {
        "dataset": pool.source.dataset,
        "subset": pool.source.subset,
        "split": pool.source.split,
        "revision": pool.source.revision,
        "commit": pool.commit,
        "licence": get(pool.source.adapter).LICENCE,
        "origin": pool.origin,
        "take": pool.source.take,
        "rows_read": pool.rows_read,
        "dropped": {reason: number for reason, number in sorted(pool.dropped.items()) if number},
        "survived": len(pool.questions),
        **counts,
        "not_drawn": len(pool.questions) - sum(counts.values()),
        "sha256": digest(chain(drawn["train"], drawn["validation"])),
    }
