"""One suite of benchmarks through one engine session; benchmarks that are finished stay finished."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from transformers import AutoTokenizer

from generalthinker.config.settings import Settings
from generalthinker.files import read_parquet, write_parquet
from generalthinker.generation import Engine, Generated, open_engine
from generalthinker.paths import Layout
from generalthinker.prompts import question_prompt
from generalthinker.provenance import commit, file_hash, hardware, identity_hash, versions
from generalthinker.records import RunSpec, slug

logger = logging.getLogger(__name__)


def generate_suite(
    settings: Settings, run: RunSpec, suite: str, open_session: Callable[..., Engine] = open_engine
) -> Path:
    """Write the raw responses of `run` to every question of `suite` and return the file.

    Each finished benchmark is kept beside the output until the suite is whole, so a job that is killed resumes after
    it; the parts belong to one set of settings, adapter and questions and are never mixed with another's.
    """
    layout = Layout(settings.results)
    out = Path(layout.generations(run.name, suite))
    model = Path(layout.model(slug(run.model)))
    adapter = Path(layout.adapter(run.name)) if run.seed is not None else None
    identity = settings.generation_identity(suite) | {
        "adapter": file_hash(adapter / "adapter_model.safetensors") if adapter else None
    }
    parts = out.with_name(f"{out.stem}.parts")
    frames: list[pd.DataFrame] = []
    sessions: list[dict[str, Any]] = []
    engine: Engine | None = None
    for name in settings.suite_benchmarks(suite):
        questions_file = layout.benchmark(slug(name))
        part = parts / f"{slug(name)}-{identity_hash(identity | {'questions': file_hash(questions_file)})}.parquet"
        if part.exists():
            logger.info("%s: already generated", name)
        else:
            if engine is None:
                engine = open_session(settings.evaluation, model, adapter)
            _generate_benchmark(settings, engine, model, name, questions_file, part)
        frame, session = read_parquet(part)
        frames.append(frame)
        sessions.append(session)
    write_parquet(
        out,
        pd.concat(frames, ignore_index=True),
        {"run": run.name, "suite": suite, "generation": _common(sessions), "settings": identity},
    )
    shutil.rmtree(parts, ignore_errors=True)  # a second job on the same suite may have been quicker
    return out


def _generate_benchmark(
    settings: Settings, engine: Engine, model: Path, name: str, questions_file: str, part: Path
) -> None:
    questions, _ = read_parquet(questions_file)
    if limit := settings.benchmarks[name].limit:
        questions = questions.head(limit)
    tokenizer = AutoTokenizer.from_pretrained(model)
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
    write_parquet(part, frame, engine.description | {"versions": versions(), **hardware(), "commit": commit()})


def _common(sessions: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the sessions agree on, and the list of values where they do not (a resumed suite may)."""
    merged: dict[str, Any] = {}
    for key in sessions[0]:
        values = [session.get(key) for session in sessions]
        merged[key] = values[0] if all(value == values[0] for value in values) else values
    return merged
