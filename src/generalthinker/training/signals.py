"""The token-level signals on responses whose wrong step is marked, at every step of a run whose adapter is kept.

Nothing is sampled: the policy of each step reads the given responses, and the method's own hook makes its credit of
them, as in a training step. `reporting/credit.py` compares the numbers of wrong tokens with those of others.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from generalthinker.answers.boxed import last_box
from generalthinker.config.settings import Settings
from generalthinker.files import read_parquet, write_parquet
from generalthinker.paths import Layout
from generalthinker.records import RunSpec
from generalthinker.training.groups import adapters_of, scored, token_texts
from generalthinker.training.run import build_trainer, grpo_arguments, load_adapter, training_rows

NUMBERS = ("logp", "logp_reference", "logp_given_answer", "logp_given_other", "entropy")
WRONG, RIGHT = "wrong", "right"


class Copy(NamedTuple):
    """One reading: a marked response (`WRONG`) or its corrected copy (`RIGHT`).

    `marked` says of each token whether it is one of the wrong ones, or in the corrected copy the one at their place.
    `place` is the first token in which the two differ: what stands before it is the same in both. It is -1 if there is
    no corrected copy.
    """

    response: int
    kind: str
    row: dict[str, Any]
    ids: list[int]
    marked: list[bool]
    place: int


def write_signals(settings: Settings, run: RunSpec, out: Path) -> None:
    """Write the signals of `run` on the marked responses to `out` (Parquet), with the step of its result as metadata.

    A line is a response at a step, with `step` (0: the initial policy), `response` (its place among the marked ones),
    `copy`, `marked` and `place` as in `Copy`, `task`, `question`, `answer`, `tokens` and `prefix` (the number of
    reasoning tokens). Per token it has log-probabilities (nats) under the policy (`logp`), under the initial one
    (`logp_reference`), and under the policy that is told the reference (`logp_given_answer`) or the answer that the
    wrong response ends in (`logp_given_other`); `entropy` (nats); and the method's own quantities. Raises
    NothingSampledError if the run has no adapter.
    """
    adapters, result = adapters_of(settings, run)
    # Nothing is sampled or validated, so that neither vLLM nor the validation questions are needed.
    reading = {"rollout_engine": "transformers", "validate_every": None}
    settings = settings.model_copy(update={"training": settings.training.model_copy(update=reading)})
    with TemporaryDirectory() as unused:
        trainer = build_trainer(settings, run, grpo_arguments(settings, run, 1, unused))
    trainer.model.train()
    marked, _ = read_parquet(Layout(settings.results).marked)
    numbered = enumerate(marked.to_dict("records"))
    copies = [copy for number, line in numbered for copy in copies_of(trainer.tokenizer, number, line)]
    own = [name for panel in trainer.method.quantities[:-1] for name in (panel.column, *(panel.overlay or ())[:1])]
    lines = []
    for step, folder in ({0: None} | adapters).items():
        if folder is not None:  # a new adapter changes nothing
            load_adapter(trainer.model, folder)
        for copy, scores in _readings(trainer, copies, f"{run.name}, step {step}"):
            about = {name: marked[name][copy.response] for name in ("task", "question", "answer")}
            written = {"tokens": token_texts(trainer.tokenizer, copy.ids), "prefix": scores["prefix"]}
            named = {"step": step, "response": copy.response, "copy": copy.kind, "marked": copy.marked}
            numbers = {name: scores[name] for name in (*NUMBERS, *own)}
            lines.append(named | {"place": copy.place} | about | written | numbers)
    write_parquet(out, pd.DataFrame(lines), {"run": run.name, "result_step": result})


def copies_of(tokenizer: Any, number: int, line: Mapping[Any, Any]) -> list[Copy]:
    """Return the marked response `line` as the policy reads it and, if there is one, its corrected copy."""
    [row] = training_rows([line])
    box = last_box(line["response"])
    assert box is not None
    row["other_answer"] = box.content
    ids, offsets = _encoded(tokenizer, line["response"])
    overlaps = [any(start < last and end > first for first, last in line["mistakes"]) for start, end in offsets]
    if pd.isna(line["corrected"]):
        return [Copy(number, WRONG, row, ids, overlaps, -1)]
    right, _ = _encoded(tokenizer, line["corrected"])
    place = next(at for at, (one, other) in enumerate(zip(ids, right, strict=False)) if one != other)
    # A token before this place is the same in both: the first digit of a wrong 21 in place of 23 is not wrong.
    wrong = [at == place or (at > place and overlap) for at, overlap in enumerate(overlaps)]
    at_place = [at == place for at in range(len(right))]
    return [Copy(number, WRONG, row, ids, wrong, place), Copy(number, RIGHT, row, right, at_place, place)]


def _encoded(tokenizer: Any, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Return tokens and ranges of characters of a finished response; the token that ends it has no character."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    end = (len(text), len(text))
    return [*encoded["input_ids"], tokenizer.eos_token_id], [*map(tuple, encoded["offset_mapping"]), end]


def _readings(trainer: Any, copies: list[Copy], label: str) -> list[tuple[Copy, dict[str, Any]]]:
    """Return the copies with what the policy at the moment makes of them; as many at a time as a step has."""
    size, group = trainer.settings.batch_size, trainer.settings.group_size
    readings = []
    for first in tqdm(range(0, len(copies), size), desc=label, mininterval=5):
        batch = copies[first : first + size]
        whole = [*batch, *batch[-1:] * (-len(batch) % group)]  # whole groups
        scores = scored(trainer, [copy.row for copy in whole], [copy.ids for copy in whole])
        readings += [*zip(batch, itertools.islice(scores, len(batch)), strict=True)]
    return readings
