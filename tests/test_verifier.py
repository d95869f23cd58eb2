"""The demo's verifier, its rule against the grader, and how a training asks a further model."""

import importlib.util
import itertools
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import method_reference as reference
import tiny
from generalthinker.answers import grade
from generalthinker.config.load import freeze
from generalthinker.data import synthetic
from generalthinker.files import read_parquet
from generalthinker.models import verifier
from generalthinker.paths import Layout
from generalthinker.prompts import verifier_prompt
from generalthinker.training.further_models import LoadedModels

ROWS = synthetic.rows(None, "test", 160, seed=3)


@pytest.fixture(scope="module")
def further(tiny_verifier):
    return LoadedModels({"verifier": tiny_verifier}, torch.device("cpu"), torch.float32, 4)


def test_the_rule_decides_as_the_grader_does():
    rng = random.Random(1)
    decisions = set()
    for row in ROWS * 3:
        student = verifier.student_answer(row, rng)
        says_yes = verifier.verdict(row, student).endswith("Final Decision: Yes")
        graded = grade(rf"so \boxed{{{student or ''}}}", row["answer"], row["answer_type"], row["options"]).correct
        assert says_yes == graded, (row["question"], row["answer"], student)
        decisions.add((row["answer_type"], says_yes, student is None))
    assert len(decisions) == 6


def test_wrong_students_choose_every_other_option():
    rng = random.Random(1)
    given = [(row["answer_letter"], verifier.student_answer(row, rng)) for row in ROWS * 9 if row["options"]]
    assert {(right, student[0]) for right, student in given if student} == set(itertools.product("ABCD", repeat=2))


def test_the_record_has_accuracy_and_both_kinds_of_error(tiny_verifier):
    record = json.loads((tiny_verifier / "pretraining.json").read_text())
    assert record["held_out"]["accuracy"] > 0.8
    assert 0 <= record["held_out"]["false_accepts"] < 0.4
    assert 0 <= record["held_out"]["false_rejects"] < 0.4
    assert record["settings"] == {**tiny.VERIFIER, "seed": 1, "evaluation_questions": 200}


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        verifier.build(tmp_path / name, **tiny.VERIFIER | {"steps": 3}, seed=1, evaluation_questions=8)
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


def test_answers_are_the_greedy_ones_whatever_the_batch(further, tiny_verifier):
    rng = random.Random(2)
    prompts = [verifier_prompt(row["question"], row["answer"], verifier.student_answer(row, rng)) for row in ROWS[:10]]
    answers = further.ask("verifier", prompts, max_new_tokens=40, seconds=60)
    assert answers[::-1] == further.ask("verifier", prompts[::-1], max_new_tokens=40, seconds=60)
    tokenizer = AutoTokenizer.from_pretrained(tiny_verifier)
    policy = reference.Policy(AutoModelForCausalLM.from_pretrained(tiny_verifier))
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = tokenizer(prompt)["input_ids"]
        start = len(ids)
        while len(ids) < start + 40 and ids[-1] != tokenizer.eos_token_id:
            with torch.no_grad():
                ids.append(int(policy.distributions([*ids, 0])[-1].argmax()))
        assert answer == tokenizer.decode(ids[start:], skip_special_tokens=True)
    assert all("Final Decision" in answer for answer in answers)


def test_a_token_limit_leaves_a_text_and_a_time_limit_leaves_none(further):
    prompts = [verifier_prompt(row["question"], row["answer"], row["answer"]) for row in ROWS[:9]]
    cut = further.ask("verifier", prompts, max_new_tokens=2, seconds=60)
    assert all(answer is not None and "Decision" not in answer for answer in cut)
    assert further.ask("verifier", prompts, max_new_tokens=40, seconds=0) == [None] * 9


def test_answers_that_end_in_time_are_kept_where_others_of_the_batch_do_not(further, monkeypatch):
    model, tokenizer = further._model("verifier")
    end, word = tokenizer.eos_token_id, tokenizer("7")["input_ids"][0]

    def slow(input_ids, **options):
        monkeypatch.setattr("time.monotonic", lambda: float("inf"))
        rest = torch.tensor([[word, end, end], [word, word, word]])
        return torch.cat([input_ids, rest], dim=1)

    monkeypatch.setattr(model, "generate", slow)
    assert further.ask("verifier", ["a", "b"], max_new_tokens=40, seconds=60) == ["7", None]


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")
def test_where_vllm_samples_it_also_serves_the_verifier(tmp_path, tiny_model, tiny_verifier):
    """Two engines in one process, the policy's with its adapter: tests/vllm_verifier.py."""
    methods = {"Reasoner": {"family": "general_reasoner", "verifier": "verifier", "verifier_tokens": 40}}
    settings = tiny.settings(tmp_path, tiny_model, methods, tiny_verifier, rollout_engine="vllm", max_steps=2)
    [run] = settings.runs(tiny.choice("Reasoner"))
    script, report = Path(__file__).with_name("vllm_verifier.py"), tmp_path / "report.json"
    command = [sys.executable, script, freeze(settings), run.name, tiny_verifier, report]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(report.read_text())
    assert len(found["prompts"]) > 8
    assert found["served"] == found["loaded"]
    assert found["no time"] == [None] * 3
    assert found["too long"] == ["", found["served"][0]]
    assert found["afterwards"] == found["served"][:3]
    history, _ = read_parquet(Layout(settings.results).history(run.name))
    assert (history["verifier/late"] == 0).all()
    assert (history["verifier/undecided"] < 0.5).all()
