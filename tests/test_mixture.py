import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import yaml
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from generalthinker.config import parse_settings
from generalthinker.data import DataError
from generalthinker.data.benchmark import build_benchmark
from generalthinker.data.choices import multiple_choice
from generalthinker.data.identity import identity
from generalthinker.data.mixture import build_mixture, occurring
from generalthinker.data.questions import digest, read_questions, write_questions
from generalthinker.data.sources import gpqa
from generalthinker.files import read_json, read_parquet
from generalthinker.records import Question

CONFIG = Path(__file__).parent.parent / "config/config.yaml"
MIRROR = str(Path(__file__).parent / "fixtures/mirror")
MATH = {"adapter": "math", "dataset": "nlile/hendrycks-MATH-benchmark", "revision": "pinned"}
CROSSTHINK = {"adapter": "crossthink_qa", "dataset": "nvidia/Nemotron-CrossThink", "revision": "pinned"}
SYNTHETIC = {"adapter": "synthetic", "dataset": "synthetic", "split": "train"}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A tokenizer that counts characters."""
    folder = tmp_path_factory.mktemp("tokenizer")
    model = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    model.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    fast = PreTrainedTokenizerFast(tokenizer_object=model, unk_token="?")
    fast.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    fast.save_pretrained(folder)
    return folder


def settings(sources, train_rows, validation_rows, *, mirror=MIRROR, max_prompt_tokens=10_000, seed=1, benchmarks=None):
    content = yaml.safe_load(CONFIG.read_text())
    content |= {"mirror": mirror, "tables": {}, "figures": {}, "reported_values": None}
    content["benchmarks"] = {"MATH-500": {**MATH, "group": "Math", "rows": 2}} | (benchmarks or {})
    content["evaluation"]["suites"] = {"math": list(content["benchmarks"])}
    content["data"] |= {
        "sources": sources,
        "train_rows": train_rows,
        "validation_rows": validation_rows,
        "max_prompt_tokens": max_prompt_tokens,
        "decontaminate_against": list(content["benchmarks"]),
        "seed": seed,
    }
    return parse_settings(content)


def build(loaded, tokenizer, folder):
    folder.mkdir(exist_ok=True)
    held_out = folder / "benchmark.parquet"
    build_benchmark(loaded, "MATH-500", held_out, folder / "benchmark.json")
    paths = [folder / name for name in ("train.parquet", "validation.parquet", "mixture.json")]
    build_mixture(loaded, [held_out], tokenizer, *paths)
    return read_questions(paths[0])[0], read_questions(paths[1])[0], read_json(paths[2])


BOTH = {
    "MATH": {**MATH, "split": "train", "take": "all"},
    "CrossThink": {**CROSSTHINK, "split": "train_qa", "take": "fill"},
}


def test_filters_decontamination_and_draw(tokenizer, tmp_path):
    train, validation, manifest = build(settings(BOTH, 6, 2), tokenizer, tmp_path)
    assert (len(train), len(validation)) == (6, 2)
    math, crossthink = manifest["sources"]["MATH"], manifest["sources"]["CrossThink"]
    # its second problem is in the benchmark but for a space, its fourth answer has an open brace
    assert math["dropped"] == {"in_benchmark": 1, "answer_not_boxable": 1}
    assert (math["rows_read"], math["survived"], math["train"] + math["validation"]) == (4, 2, 2)
    assert crossthink["dropped"] == {"open_ended": 1, "unreadable": 1, "too_many_options": 1}
    assert crossthink["train"] + crossthink["validation"] == 6
    for account in manifest["sources"].values():
        assert account["rows_read"] == sum(account["dropped"].values()) + account["survived"]
        assert account["survived"] == account["train"] + account["validation"] + account["not_drawn"]
    assert manifest["train"] == {"rows": 6, "sha256": digest(train)}
    assert manifest["decontaminated_against"] == ["MATH-500"]
    assert manifest["not_decontaminated_against"] == {}
    assert math["sha256"] == digest(q for q in [*train, *validation] if q.source == MATH["dataset"])
    assert MIRROR not in json.dumps(manifest)


def test_training_and_validation_share_no_question(tokenizer, tmp_path):
    loaded = settings({"Toy": {**SYNTHETIC, "rows": 400, "take": "fill"}}, 250, 50)
    train, validation, _ = build(loaded, tokenizer, tmp_path)
    assert (len(train), len(validation)) == (250, 50)
    assert len({identity(question) for question in [*train, *validation]}) == 300
    assert len({question.id for question in [*train, *validation]}) == 300


def test_the_draw_depends_on_the_seed_and_not_on_the_row_order(tokenizer, tmp_path):
    shuffled = tmp_path / "mirror"
    for dataset, split in (("nlile/hendrycks-MATH-benchmark", "test"), ("nvidia/Nemotron-CrossThink", "train_qa")):
        lines = (Path(MIRROR) / dataset / f"{split}.jsonl").read_text().splitlines()
        random.Random(3).shuffle(lines)
        (shuffled / dataset).mkdir(parents=True)
        (shuffled / dataset / f"{split}.jsonl").write_text("\n".join(lines))
    fill = {"CrossThink": BOTH["CrossThink"]}
    once = build(settings(fill, 5, 2), tokenizer, tmp_path / "once")
    again = build(settings(fill, 5, 2, mirror=str(shuffled)), tokenizer, tmp_path / "again")
    other = build(settings(fill, 5, 2, seed=2), tokenizer, tmp_path / "other")
    assert once == again
    assert once[:2] != other[:2]


INSTRUCTION = len("\nPlease reason step by step, and put your final answer within \\boxed{}.")


def test_long_prompts_are_dropped(tokenizer, tmp_path):
    loaded = settings(BOTH, 8, 1, max_prompt_tokens=INSTRUCTION + 63)
    train, validation, manifest = build(loaded, tokenizer, tmp_path)
    assert max(len(question.question) for question in [*train, *validation]) <= 63
    assert manifest["sources"]["CrossThink"]["dropped"]["prompt_too_long"] == 2


def test_prompt_lengths_are_stored_beside_the_questions(tokenizer, tmp_path):
    train, validation, _ = build(settings(BOTH, 6, 2), tokenizer, tmp_path)
    for split, questions in (("train", train), ("validation", validation)):
        frame, _ = read_parquet(tmp_path / f"{split}.parquet")
        assert list(frame["id"]) == [question.id for question in questions]
        assert list(frame["prompt_tokens"]) == [INSTRUCTION + len(question.question) for question in questions]


GATED = {
    "adapter": "gpqa",
    "dataset": "Idavidrein/gpqa",
    "subset": "gpqa_main",
    "split": "train",
    "revision": "pinned",
    "gated": True,
    "group": "Math",
}


@pytest.mark.parametrize("shared", [0, 1])
def test_a_gated_benchmark_without_access_is_left_out_and_named(tokenizer, tmp_path, shared):
    """Once it can be read, the overlap is known; without one, a rebuilt mixture is the same."""
    mirror = tmp_path / "mirror"
    shutil.copytree(MIRROR, mirror, ignore=shutil.ignore_patterns("gpqa_main"))
    loaded = settings(BOTH, 11, 2, mirror=str(mirror), benchmarks={"GPQA": GATED})
    without = build(loaded, tokenizer, tmp_path / "without")
    assert without[2]["decontaminated_against"] == ["MATH-500"]
    assert "Idavidrein/gpqa" in without[2]["not_decontaminated_against"]["GPQA"]
    paths = [tmp_path / "without" / name for name in ("train.parquet", "validation.parquet", "mixture.json")]
    assert occurring(loaded, *paths) == {}

    question = "Which is the capital of Italy?" if shared else "Which is the capital of Spain?"
    texts = (question, "Rome", "Paris", "Oslo", "Bonn")
    (mirror / "Idavidrein/gpqa/train.json").write_text(json.dumps([dict(zip(gpqa.COLUMNS, texts, strict=True))]))
    assert occurring(loaded, *paths) == {"GPQA": shared}
    again = build(loaded, tokenizer, tmp_path / "with")
    assert again[2]["not_decontaminated_against"] == {}
    assert again[2]["sources"]["CrossThink"]["dropped"].get("in_benchmark", 0) == shared
    assert (again[:2] == without[:2]) == (shared == 0)


def test_a_hub_that_is_down_is_not_taken_for_missing_access(tokenizer, tmp_path, monkeypatch):
    def unreachable(*args, **kwargs):
        raise ConnectionError("no network here")

    mirror = tmp_path / "mirror"
    shutil.copytree(MIRROR, mirror, ignore=shutil.ignore_patterns("gpqa"))
    for name in ("snapshot_download", "auth_check"):
        monkeypatch.setattr(huggingface_hub, name, unreachable)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(DataError, match="no network here"):
        build(settings(BOTH, 10, 2, mirror=str(mirror), benchmarks={"GPQA": GATED}), tokenizer, tmp_path / "without")


def test_repeated_questions_are_kept_once_also_across_sources(tokenizer, tmp_path):
    twice = {"First": BOTH["CrossThink"], "Second": BOTH["CrossThink"]}
    train, validation, manifest = build(settings(twice, 10, 2), tokenizer, tmp_path)
    assert manifest["sources"]["Second"]["dropped"]["duplicate"] == 12
    assert manifest["sources"]["Second"]["survived"] == 0
    assert all(question.id.startswith("First/") for question in [*train, *validation])


def test_too_few_questions_stop_with_the_counts(tokenizer, tmp_path):
    with pytest.raises(DataError, match=r"(?s)= 1,000, but only 14 .*MATH: 4 rows read, 2 survive.*1 in_benchmark"):
        build(settings(BOTH, 990, 10), tokenizer, tmp_path)


def test_options_in_another_order_are_the_same_question():
    made = {"id": "1", "stem": "Which  one?", "source": "s", "domain": "d"}
    first = multiple_choice(options=["Cat", "dog"], correct=0, **made)
    same = multiple_choice(options=["DOG", "cat"], correct=1, **made)
    other = multiple_choice(options=["cat", "cow"], correct=0, **made)
    assert identity(first) == identity(same) != identity(other)
    assert identity(first) != identity(replace(first, question="Which?", options=None))


def test_question_files_keep_every_field(tmp_path):
    questions = [
        Question("1", "Which?\n\nA. x\n\nB. y", "B. y", "mcq", ["x", "y"], "B", "s", "d"),
        Question("2", "1 + 1?", "2", "math", None, None, "s", "d"),
    ]
    for stored in (questions, questions[:1], questions[1:], []):
        write_questions(tmp_path / "q.parquet", stored, {"benchmark": "b"})
        assert read_questions(tmp_path / "q.parquet") == (stored, {"benchmark": "b"})
    assert digest(questions) == digest(list(questions)) != digest(questions[::-1])


def test_benchmark_manifest(tokenizer, tmp_path):
    build_benchmark(settings(BOTH, 6, 2), "MATH-500", tmp_path / "q.parquet", tmp_path / "q.json")
    questions, metadata = read_questions(tmp_path / "q.parquet")
    manifest = read_json(tmp_path / "q.json")
    assert metadata == manifest
    assert manifest == {
        "benchmark": "MATH-500",
        "dataset": "nlile/hendrycks-MATH-benchmark",
        "subset": None,
        "split": "test",
        "revision": "pinned",
        "commit": None,
        "licence": "MIT",
        "origin": "mirror",
        "rows_read": 2,
        "dropped": {},
        "rows_written": 2,
        "sha256": digest(questions),
    }
