"""One suite of benchmarks through one engine session; benchmarks that are finished stay finished."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from transformers import AutoTokenizer

from generalthinker.config.settings import Settings
from generalthinker.files import read_parquet, write_parquet
from generalthinker.generation import Decoding, Engine, Generated, open_engine
from generalthinker.generation.base import Prompt
from generalthinker.identity import identity_of_generation
from generalthinker.keeping import KeptResult, OtherCode, Store
from generalthinker.lock import FolderLock
from generalthinker.paths import Layout
from generalthinker.prompts import question_prompt
from generalthinker.provenance import commit, hardware, versions
from generalthinker.records import RunSpec, sample_id, slug

RESPONSES = "responses.parquet"
TOO_LONG = Generated("", 0, True)
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
    names = settings.suite_benchmarks(suite)
    with FolderLock(layout.lock("generations", f"{run.name}/{suite}")):
        identities = {name: identity_of_generation(settings, run, suite, name) for name in names}
        kept: dict[str, KeptResult] = {}
        for name, identity in identities.items():
            if found := store.find_or_ask(identity, other_code):
                logger.info("%s: already generated; its responses are in %s", name, found.folder)
                kept[name] = found
        for name, frame, session in _generate(settings, run, [n for n in names if n not in kept], open_session):
            with store.keeping(identities[name]) as folder:
                write_parquet(folder / RESPONSES, frame, session)
            stored = store.find(identities[name])
            assert stored is not None
            kept[name] = stored
        read = []
        for name in names:
            frame, session = read_parquet(kept[name].folder / RESPONSES)
            # They may have been generated for a benchmark of another name with the same questions.
            read.append((frame.assign(benchmark=name), session, kept[name].code))
        limits = {name: settings.benchmarks[name].limit for name in names}
        samples = {name: count for name in names if (count := settings.benchmarks[name].samples)}
        sessions = [session | {"code": code} for _, session, code in read]
        write_parquet(
            out,
            pd.concat([frame for frame, _, _ in read], ignore_index=True),
            {
                "run": run.name,
                "suite": suite,
                "generation": _common(sessions),
                "settings": {"benchmarks": limits} | ({"samples": samples} if samples else {}),
            },
        )
    return out


def _generate(
    settings: Settings, run: RunSpec, names: list[str], open_session: Callable[..., Engine]
) -> Iterator[tuple[str, pd.DataFrame, dict[str, Any]]]:
    """Yield each benchmark with its responses and how they were generated, as soon as the benchmark is finished.

    The engine gets all prompts at once: the first responses to a benchmark are generated together with the last ones to
    the benchmark before.
    """
    if not names:
        return
    layout = Layout(settings.results)
    model = Path(layout.model(slug(run.model)))
    adapter = Path(layout.adapter(run.name)) if run.seed is not None else None
    engine = open_session(settings.evaluation, model, adapter)
    session = engine.description | {"versions": versions(), **hardware(), "commit": commit()}
    tokenizer = AutoTokenizer.from_pretrained(model)
    asked = [_questions(settings, tokenizer, name) for name in names]
    total = sum(len(prompts) for _, prompts in asked)
    logger.info("%d questions of %d benchmarks on %s", total, len(names), engine.description["engine"])
    fitting = [[prompt for prompt in prompts if prompt is not None] for _, prompts in asked]
    decodings = [_decoding(settings, name) for name in names]
    for place, responses in engine.generate(fitting, settings.evaluation.max_new_tokens, decodings):
        name, (ids, prompts) = names[place], asked[place]
        answered = iter(responses)
        given = [TOO_LONG if prompt is None else next(answered) for prompt in prompts]
        frame = pd.DataFrame(
            {
                "benchmark": name,
                "id": ids,
                "response": [response.text for response in given],
                "tokens": [response.tokens for response in given],
                "truncated": [response.truncated for response in given],
            }
        )
        yield name, frame, session


def _decoding(settings: Settings, name: str) -> Decoding:
    """Return how the responses to a benchmark are generated."""
    evaluation = settings.evaluation
    if settings.benchmarks[name].samples is None:
        return Decoding()
    return Decoding(evaluation.sampling_temperature, evaluation.sampling_top_p, evaluation.seed)


def _questions(settings: Settings, tokenizer: Any, name: str) -> tuple[list[str], list[Prompt | None]]:
    """Return ids and prompts of a benchmark's questions; None for a prompt that is longer than the engine takes.

    With `samples`, every question is asked as often, and each of its responses has an id of its own.
    """
    questions, _ = read_parquet(Layout(settings.results).benchmark(slug(name)))
    if limit := settings.benchmarks[name].limit:
        questions = questions.head(limit)
    longest = settings.evaluation.max_model_len
    texts = [question_prompt(tokenizer, text) for text in questions["question"]]
    # The chat template has written the special tokens already.
    prompts = tokenizer(texts, add_special_tokens=False)["input_ids"]
    fitting = [prompt if len(prompt) < longest else None for prompt in prompts]
    if too_long := fitting.count(None):
        logger.warning(
            "%s: %d of %d prompts are longer than evaluation.max_model_len = %d tokens; they count as truncated",
            name,
            too_long,
            len(prompts),
            longest,
        )
    ids = questions["id"].tolist()
    if count := settings.benchmarks[name].samples:
        return [sample_id(id, number) for id in ids for number in range(1, count + 1)], [
            prompt for prompt in fitting for _ in range(count)
        ]
    return ids, fitting


def _common(sessions: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the sessions agree on, and the list of values where they do not (a resumed suite may)."""
    merged: dict[str, Any] = {}
    for key in sessions[0]:
        values = [session.get(key) for session in sessions]
        merged[key] = values[0] if all(value == values[0] for value in values) else values
    return merged
