"""One suite of benchmarks through one engine session; benchmarks that are finished stay finished."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from transformers import AutoTokenizer

from generalthinker.config.settings import Settings
from generalthinker.files import read_parquet, write_parquet
from generalthinker.generation import Engine, Generated, open_engine
from generalthinker.identity import identity_of_generation
from generalthinker.keeping import OtherCode, Store
from generalthinker.lock import FolderLock
from generalthinker.paths import Layout
from generalthinker.prompts import question_prompt
from generalthinker.provenance import commit, hardware, versions
from generalthinker.records import RunSpec, slug

RESPONSES = "responses.parquet"
logger = logging.getLogger(__name__)


def generate_suite(
    settings: Settings,
    run: RunSpec,
    suite: str,
    open_session: Callable[..., Engine] = open_engine,
    other_code: OtherCode = "ask",
) -> Path:
    """Write the raw responses of `run` to every question of `suite` and return the file.

    Each finished benchmark is kept under its identity, so a job that is started again generates only what is missing.
    Raises OtherCodeError where other code generated a benchmark's responses and `other_code` is "ask".
    """
    layout, store = Layout(settings.results), Store(settings.results)
    out = Path(layout.generations(run.name, suite))
    frames: list[pd.DataFrame] = []
    sessions: list[dict[str, Any]] = []
    engine: Engine | None = None
    with FolderLock(layout.lock("generations", f"{run.name}/{suite}")):
        for name in settings.suite_benchmarks(suite):
            identity = identity_of_generation(settings, run, suite, name)
            kept = store.find_or_ask(identity, other_code)
            if kept is None:
                if engine is None:
                    adapter = Path(layout.adapter(run.name)) if run.seed is not None else None
                    engine = open_session(settings.evaluation, Path(layout.model(slug(run.model))), adapter)
                with store.keeping(identity) as folder:
                    _generate_benchmark(settings, engine, run, name, folder / RESPONSES)
                kept = store.find(identity)
                assert kept is not None
            else:
                logger.info("%s: already generated; its responses are in %s", name, kept.folder)
            frame, session = read_parquet(kept.folder / RESPONSES)
            frames.append(frame)
            sessions.append(session | {"code": kept.code})
        limits = {name: settings.benchmarks[name].limit for name in settings.suite_benchmarks(suite)}
        write_parquet(
            out,
            pd.concat(frames, ignore_index=True),
            {"run": run.name, "suite": suite, "generation": _common(sessions), "settings": {"benchmarks": limits}},
        )
    return out


def _generate_benchmark(settings: Settings, engine: Engine, run: RunSpec, name: str, out: Path) -> None:
    layout = Layout(settings.results)
    questions, _ = read_parquet(layout.benchmark(slug(name)))
    if limit := settings.benchmarks[name].limit:
        questions = questions.head(limit)
    tokenizer = AutoTokenizer.from_pretrained(layout.model(slug(run.model)))
    logger.info("%s: %d questions on %s", name, len(questions), engine.description["engine"])
    prompts = [question_prompt(tokenizer, text) for text in questions["question"]]
    lengths = [len(ids) for ids in tokenizer(prompts, add_special_tokens=False)["input_ids"]]
    fits = [length < settings.evaluation.max_model_len for length in lengths]
    if not all(fits):
        logger.warning(
            "%s: %d of %d prompts are longer than evaluation.max_model_len = %d tokens; they count as truncated",
            name,
            len(fits) - sum(fits),
            len(fits),
            settings.evaluation.max_model_len,
        )
    answered = iter(
        engine.generate(
            [prompt for prompt, fit in zip(prompts, fits, strict=True) if fit], settings.evaluation.max_new_tokens
        )
    )
    responses = [next(answered) if fit else Generated("", 0, True) for fit in fits]
    frame = pd.DataFrame(
        {
            "benchmark": name,
            "id": questions["id"],
            "response": [response.text for response in responses],
            "tokens": [response.tokens for response in responses],
            "truncated": [response.truncated for response in responses],
        }
    )
    write_parquet(out, frame, engine.description | {"versions": versions(), **hardware(), "commit": commit()})


def _common(sessions: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the sessions agree on, and the list of values where they do not (a resumed suite may)."""
    merged: dict[str, Any] = {}
    for key in sessions[0]:
        values = [session.get(key) for session in sessions]
        merged[key] = values[0] if all(value == values[0] for value in values) else values
    return merged
