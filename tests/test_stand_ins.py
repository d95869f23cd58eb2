"""Made-up rows: every dataset of the paper's configuration in its columns, read by the real adapters."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from generalthinker.answers import grade
from generalthinker.config import load
from generalthinker.config.data import SourceSettings
from generalthinker.data import DataError
from generalthinker.data.adapt import adapt
from generalthinker.data.choices import stem_of
from generalthinker.data.crossthink_schemas import SCHEMAS
from generalthinker.data.fetch import fetch
from generalthinker.data.identity import identity
from generalthinker.data.mixture import _unsuitable as unsuitable
from generalthinker.data.rowfiles import read_rows
from generalthinker.data.sources import get
from generalthinker.data.stand_ins import MAKERS, crossthink_qa, mmlu, write_mirror
from generalthinker.records import LETTERS

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT / "tests/fixtures/mirror"
# adapter → the columns of the dataset on the hub
COLUMNS = {
    "math": {"problem", "solution", "answer", "subject", "level", "unique_id"},
    "gsm8k": {"question", "answer"},
    "minerva": {"question", "answer"},
    "olympiadbench": {"id", "question", "solution", "final_answer", "context", "modality", "difficulty", "unit"}
    | {"is_multiple_answer", "answer_type", "error", "question_type", "subfield", "subject", "language"},
    "amc23": {"id", "question", "answer", "url"},
    "gpqa": {"Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3"}
    | {"Explanation", "Subdomain", "High-level domain", "Record ID"},
    "mmlu": {"question", "subject", "choices", "answer"},
    "mmlu_pro": {"question_id", "question", "options", "answer", "answer_index", "cot_content", "category", "src"},
    "mmlu_redux": {"question", "choices", "answer", "error_type", "source", "correct_answer", "potential_reason"},
    "supergpqa": {"uuid", "question", "options", "answer", "answer_letter", "discipline", "field", "subfield"}
    | {"difficulty", "is_calculation"},
}
ROWS = 2000


@pytest.fixture(scope="module")
def settings():
    return load([ROOT / "config/config.yaml", ROOT / "config/rehearsal.yaml"])


@pytest.fixture(scope="module")
def small(settings):
    """The configuration with fewer training rows, for which the mirror is written in a second."""
    sources = {
        name: source.model_copy(update={"rows": min(ROWS, source.rows)})
        for name, source in settings.data.sources.items()
    }
    benchmarks = {
        name: benchmark.model_copy(update={"rows": min(570, benchmark.rows)})
        for name, benchmark in settings.benchmarks.items()
    }
    data = settings.data.model_copy(update={"sources": sources})
    return settings.model_copy(update={"data": data, "benchmarks": benchmarks})


@pytest.fixture(scope="module")
def mirror(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirror")
    written = write_mirror(small, folder, "verl-options", None)
    assert set(written.values()) == {"generated"}
    return folder


def test_every_dataset_of_the_paper_has_a_stand_in_with_the_columns_of_the_hub(small, mirror):
    adapters = {source.adapter for source in (*small.data.sources.values(), *small.benchmarks.values())}
    assert {maker.__name__ for maker in MAKERS} | {"crossthink_qa"} == adapters
    assert set(COLUMNS) == adapters - {"crossthink_qa"}
    for path in sorted(mirror.rglob("*.jsonl")):
        [source] = [s for s in sources_of(small) if path.is_relative_to(mirror / s.dataset) and fits(path, s)] or [None]
        if source is not None and source.adapter in COLUMNS:
            assert all(set(row) == COLUMNS[source.adapter] for row in read_rows(path)), path


def sources_of(settings):
    return [*settings.benchmarks.values(), *settings.data.sources.values()]


def fits(path, source):
    return path.stem == source.split and source.subset in (None, path.parent.name)


def test_the_real_adapters_read_every_row_of_every_benchmark_and_grade_its_answer(small, mirror):
    for name, benchmark in small.benchmarks.items():
        fetched = fetch(benchmark, str(mirror), 1)  # the number of rows is checked here
        assert fetched.origin == "mirror"
        adapted = adapt(benchmark, fetched)
        assert len(adapted.questions) == benchmark.rows, name
        assert len({identity(question) for question in adapted.questions}) == benchmark.rows, name
        for question in adapted.questions:
            verdict = grade(f"\\boxed{{{question.answer}}}", question.answer, question.answer_type, question.options)
            assert verdict.correct, (name, question)


def test_stand_ins_vary_as_the_real_datasets_do(small, mirror):
    questions = {n: adapt(b, fetch(b, str(mirror), 1)).questions for n, b in small.benchmarks.items()}
    assert {len(question.options) for question in questions["MMLU"]} == {4}
    assert set(range(4, 11)) <= {len(question.options) for question in questions["MMLU-Pro"]}
    assert {question.answer_letter for question in questions["MMLU-Pro"]} == set(LETTERS[:10])
    assert {", " in question.answer for question in questions["OlympiadBench"]} == {True, False}
    assert len({question.domain for question in questions["MMLU-Redux"]}) == 57
    diamond, main = ({identity(q) for q in questions[name]} for name in ("GPQA-Diamond", "GPQA"))
    assert diamond < main
    assert not {identity(q) for q in questions["MATH-500"]} & {identity(q) for q in training(small, "MATH", mirror)}


def training(settings, name, mirror):
    source = settings.data.sources[name]
    return adapt(source, fetch(source, str(mirror), 1), tolerant=True).questions


@pytest.mark.parametrize("schema", SCHEMAS)
def test_crossthink_is_read_alike_in_every_schema(schema):
    """The adapter finds question, options and answer wherever the rows keep them."""
    maker = crossthink_qa(schema)
    rows = [json.loads(json.dumps(maker(random.Random(index), index))) for index in range(1, ROWS + 1)]
    source = SourceSettings(adapter="crossthink_qa", dataset="nvidia/Nemotron-CrossThink", split="train_qa", rows=ROWS)
    adapted = adapt(source, Fetched(rows), tolerant=True)
    assert adapted.dropped == {"open_ended": ROWS // 10}
    kept = [index for index in range(1, ROWS + 1) if index % 10 != 3]
    assert len(adapted.questions) == len(kept)
    for index, question in zip(kept, adapted.questions, strict=True):
        if index % 500 in (1, 2):
            continue
        assert stem_of(question).startswith(f"In case {index}, ")
        assert stem_of(question).endswith(f"Which one is {index + 7}?")
        assert question.options[LETTERS.index(question.answer_letter)] == str(index + 7)
    # A question of MMLU, and the same once more
    first, second = adapted.questions[0], adapted.questions[1]
    asked = get("mmlu").question(mmlu(random.Random("mmlu:0"), 0), 0)
    assert identity(first) == identity(second) == identity(asked)
    assert first.options[LETTERS.index(first.answer_letter)] == "7"
    reasons = Counter(unsuitable(question) for question in adapted.questions)
    assert reasons["too_many_options"] > 0
    assert set(reasons) == {None, "too_many_options"}


class Fetched:
    """Rows that were fetched."""

    def __init__(self, rows):
        self.rows, self.origin, self.commit = rows, "mirror", None


def test_files_of_another_mirror_are_copied(small, tmp_path):
    benchmarks = {
        name: small.benchmarks[name].model_copy(update={"rows": rows})
        for name, rows in (("GSM8K", 2), ("MMLU-Redux", 2), ("Minerva", 2), ("MMLU", 3))
    }
    settings = small.model_copy(update={"benchmarks": benchmarks})
    (tmp_path / "real/openai").mkdir(parents=True)
    (tmp_path / "real/openai/gsm8k").symlink_to(FIXTURES / "openai/gsm8k")
    (tmp_path / "real/edinburgh-dawg").symlink_to(FIXTURES / "edinburgh-dawg")
    written = write_mirror(settings, tmp_path / "mirror", "columns", tmp_path / "real")
    copied = {file for file, how in written.items() if how == "copied"}
    redux = {f"edinburgh-dawg/mmlu-redux-2.0/{subject}/test.jsonl" for subject in ("anatomy", "virology")}
    assert copied == {"openai/gsm8k/main/test.jsonl", *redux}
    for file in copied:
        assert (tmp_path / "mirror" / file).read_bytes() == (FIXTURES / file).read_bytes()
    assert written["math-ai/minervamath/test.jsonl"] == "generated"
    for benchmark in benchmarks.values():
        assert len(fetch(benchmark, str(tmp_path / "mirror"), 1).rows) == benchmark.rows


def test_what_has_no_stand_in_is_named(small, tmp_path):
    other = small.benchmarks["GSM8K"].model_copy(update={"adapter": "strategy_qa"})
    with pytest.raises(DataError, match=r"GSM8K: no stand-in for openai/gsm8k: .*strategy_qa"):
        write_mirror(small.model_copy(update={"benchmarks": {"GSM8K": other}}), tmp_path, "columns", None)
    with pytest.raises(DataError, match=r"'verl': .*verl-inline"):
        write_mirror(small, tmp_path, "verl", None)


def test_the_rehearsal_changes_sizes_and_places_alone(settings, monkeypatch):
    """Every other key of the paper's configuration is as it is."""
    paper, rehearsal = load([ROOT / "config/config.yaml"]).model_dump(), settings.model_dump()
    changed = set(differences(paper, rehearsal))
    allowed = {"name", "results", "mirror", "data.validation_rows"}
    allowed |= {f"training.{key}" for key in ("max_steps", "save_every", "validate_every")}
    allowed |= {f"threads.{key}" for key in paper["threads"]} | {
        f"benchmarks.{name}.limit" for name in paper["benchmarks"]
    }
    assert {key for key in changed - allowed if not key.startswith("models.")} == set()
    assert {model.kind for model in settings.models.values()} == {"random"}
    for name, model in paper["models"].items():
        assert {key: rehearsal["models"][name][key] for key in ("label", "id", "revision")} == {
            key: model[key] for key in ("label", "id", "revision")
        }


def differences(left, right, place=""):
    """Yield the dotted keys under which two mappings differ."""
    for key in left | right:
        here, there = left.get(key), right.get(key)
        if isinstance(here, dict) and isinstance(there, dict):
            yield from differences(here, there, f"{place}{key}.")
        elif here != there:
            yield f"{place}{key}"
