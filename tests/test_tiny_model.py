"""The embedded default's model builder: same bytes twice, Qwen's chat format, a tokenizer that loses nothing."""

import hashlib
import json
import random
import unicodedata
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from generalthinker import prompts
from generalthinker.data import DataError, synthetic
from generalthinker.models import tiny, warm_up

SETTINGS = {
    "hidden_size": 32,
    "layers": 2,
    "heads": 1,
    "key_value_heads": 1,
    "intermediate_size": 48,
    "steps": 30,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "vocabulary_size": 480,
    "worked_share": 0.45,
    "slip_share": 0.2,
    "answer_conditioned_share": 0.15,
    "evaluation_questions": 8,
}


def digest(folder: Path, name: str) -> str:
    return hashlib.sha256((folder / name).read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models") / "tiny"
    tiny.build(out, **SETTINGS, seed=1)
    return out


@pytest.fixture(scope="module")
def tokenizer(built):
    return AutoTokenizer.from_pretrained(built)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(built, tmp_path):
    tiny.build(tmp_path / "again", **SETTINGS, seed=1)
    tiny.build(tmp_path / "other", **SETTINGS, seed=2)
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert digest(built, name) == digest(tmp_path / "again", name)
    assert digest(built, "model.safetensors") != digest(tmp_path / "other", "model.safetensors")


def test_the_folder_is_complete_and_replaces_an_older_one(built, tmp_path):
    target = tmp_path / "model"
    target.mkdir()
    (target / "stale.txt").write_text("left over")
    record = tiny.build(target, **{**SETTINGS, "steps": 1}, seed=1)
    names = {path.name for path in target.iterdir()}
    assert names >= {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "pretraining.json"}
    assert "stale.txt" not in names
    assert list(tmp_path.iterdir()) == [target]
    assert json.loads((target / "pretraining.json").read_text()) == record
    assert record["settings"]["steps"] == 1
    assert record["parameters"] == sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(target).parameters())


def test_the_model_is_a_float32_qwen2_that_ends_at_the_turn(built, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(built)
    assert model.config.model_type == "qwen2"
    assert model.config.max_position_embeddings == 4096
    assert model.dtype == torch.float32
    generation = GenerationConfig.from_pretrained(built)
    assert tokenizer.convert_ids_to_tokens([generation.eos_token_id, generation.pad_token_id]) == [
        "<|im_end|>",
        "<|endoftext|>",
    ]
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")


def test_prompts_are_one_user_turn_with_the_assistant_turn_opened(tokenizer):
    assert prompts.question_prompt(tokenizer, "What is 1+2?") == (
        "<|im_start|>user\nWhat is 1+2?\nPlease reason step by step, and put your final answer within \\boxed{}."
        "<|im_end|>\n<|im_start|>assistant\n"
    )
    assert prompts.answer_conditioned_prompt(tokenizer, "What is 1+2?", "3").endswith(
        "given the final answer within \\boxed{}.<|im_end|>\n<|im_start|>assistant\n\\boxed{3}\n"
    )
    messages = prompts.question_messages("What is 1+2?")
    closed = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)
    assert closed + "<|im_start|>assistant\n" == prompts.question_prompt(tokenizer, "What is 1+2?")


def test_the_fixed_parts_of_a_prompt_are_short(tokenizer):
    assert len(tokenizer.tokenize(prompts.INSTRUCTION)) == 1
    assert len(tokenizer.tokenize(prompts.ANSWER_CONDITIONED_INSTRUCTION)) == 1
    assert tokenizer.tokenize("<|im_start|>assistant\n")[:2] == ["<|im_start|>", "assistant"]
    assert len(tokenizer.tokenize("1234")) == 4


def test_no_text_of_the_demo_reaches_the_token_limits(tokenizer):
    for row in synthetic.rows(None, "test", 400, seed=0):
        assert len(tokenizer(row["solution"] + tiny.END)["input_ids"]) <= tiny.EVALUATION_TOKENS
        assert len(tokenizer(prompts.question_prompt(tokenizer, row["question"]))["input_ids"]) < 128


def test_an_option_letter_is_the_same_token_inside_a_box_and_outside(tokenizer):
    outside = tokenizer.tokenize("Which?\n\nC. cow")
    inside = tokenizer.tokenize("\\boxed{C. cow}")
    assert "C" in outside
    assert inside[-4:-1] == outside[-3:]


# Qwen2's tokenizer composes characters first (Unicode NFC); nothing else may change.
@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_tokens_decode_to_the_text(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)
    assert max(ids, default=0) < len(tokenizer)


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(codec="ascii"), max_size=60))
def test_offsets_cover_the_text_in_order(tokenizer, text):
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    assert "".join(text[start:end] for start, end in encoded["offset_mapping"]) == text
    assert len(encoded["offset_mapping"]) == len(encoded["input_ids"])


def test_labels_cover_the_teachers_part_only(tokenizer):
    rows = synthetic.rows(None, "pretrain", 64, seed=0)
    texts = tiny.lessons(tokenizer, rows, 64, 0.45, 0.2, 0.15, seed=0)
    for ids, labels in warm_up.batches(warm_up.encode(tokenizer, texts), 16, random.Random(0)):
        asked = labels != warm_up.IGNORED
        assert torch.equal(ids[asked], labels[asked])
        for row in range(len(ids)):
            written = tokenizer.decode(labels[row][asked[row]])
            assert written.endswith("}<|im_end|>")
            assert written.count("\\boxed{") == 1


def test_guesses_and_slips_come_last_and_a_conditioned_prompt_holds_the_answer_that_follows(tokenizer):
    rows = synthetic.rows(None, "pretrain", 800, seed=0)
    lessons = tiny.lessons(tokenizer, rows, 800, 0.5, 0.2, 0.25, seed=0)
    late = 800 * (1 - tiny.HABIT_SHARE)
    written = [
        next(kind for kind in ("solution", "slip", "guess") if row[kind] == response)
        for row, (_, response) in zip(rows, lessons, strict=True)
    ]
    given = [prompts.ANSWER_CONDITIONED_INSTRUCTION in prompt for prompt, _ in lessons]
    assert {kind for place, kind in enumerate(written) if place < late and not given[place]} == {"solution"}
    unaided = [kind for place, kind in enumerate(written) if place >= late and not given[place]]
    shares = {kind: unaided.count(kind) / len(unaided) for kind in ("solution", "slip", "guess")}
    assert shares == pytest.approx({"solution": 0.4, "slip": 0.1, "guess": 0.5}, abs=0.1)
    conditioned = [kind for kind, one in zip(written, given, strict=True) if one]
    assert 0.2 < len(conditioned) / 800 < 0.3
    assert set(conditioned) == {"solution"}
    for (prompt, response), one in zip(lessons, given, strict=True):
        if one:
            assert prompt.endswith(f"assistant\n\\boxed{{{tiny.boxed(response)}}}\n")


def test_the_teacher_guesses_more_often_at_higher_levels(tokenizer):
    rows = synthetic.rows(None, "pretrain", 4000, seed=0)
    lessons = tiny.lessons(tokenizer, rows, 4000, 0.5, 0.2, 0.0, seed=0)
    late = range(int(4000 * (1 - tiny.HABIT_SHARE)), 4000)
    guessed = [
        [lessons[place][1] == rows[place]["guess"] for place in late if rows[place]["level"] == level]
        for level in synthetic.LEVELS
    ]
    shares = [sum(level) / len(level) for level in guessed]
    assert shares == sorted(shares)
    assert shares[-1] - shares[0] > 0.2


def test_a_vocabulary_larger_than_the_texts_give_is_refused():
    with pytest.raises(DataError, match=r"vocabulary_size = 5000: .* set it to at most \d+"):
        tiny.train_tokenizer(synthetic.rows(None, "pretrain", 80, seed=0), 5000)


@pytest.mark.parametrize(
    ("text", "content"),
    [("so \\boxed{3}", "3"), ("\\boxed{1} or \\boxed{A. 2}", "A. 2"), ("no box", ""), ("\\boxed{open", "")],
)
def test_boxed_takes_the_last_closed_box(text, content):
    assert tiny.boxed(text) == content
