"""Validation keeps the best adapter, counts what the benchmarks would count, and changes nothing that is learned."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import tiny
from generalthinker.answers import grade
from generalthinker.files import read_json, read_parquet
from generalthinker.generation.transformers_engine import TransformersEngine
from generalthinker.paths import Layout
from generalthinker.prompts import question_prompt
from generalthinker.training import run as running
from generalthinker.training.trainer import MethodTrainer
from generalthinker.training.validation import decoding

STEPS = 6


@pytest.fixture
def trained(tmp_path, tiny_model):
    """Train a run and return its layout, name and record."""

    def train(folder=tmp_path, **training):
        folder.mkdir(exist_ok=True)
        settings = tiny.settings(folder, tiny_model, **{"max_steps": STEPS, "learning_rate": 2e-3} | training)
        [run] = settings.runs(tiny.choice("GeneralThinker"))
        tiny.train(settings, run)
        layout = Layout(settings.results)
        return layout, run.name, read_json(layout.run_record(run.name))

    return train


@pytest.fixture
def adapters(monkeypatch):
    """Step → the adapter as it was when that step's validation began."""
    seen, evaluate = {}, MethodTrainer.evaluate

    def remember(trainer, **given):
        state = {name: p.detach().clone() for name, p in trainer.model.named_parameters() if "lora_" in name}
        seen[trainer.state.global_step] = {name.replace(".default", ""): value for name, value in state.items()}
        return evaluate(trainer, **given)

    monkeypatch.setattr(MethodTrainer, "evaluate", remember)
    return seen


def adapter(layout, run):
    return load_file(Path(layout.adapter(run)) / "adapter_model.safetensors")


def equal(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize(("correct", "kept"), [([1, 5, 2], 4), ([5, 4, 3], 2), ([0, 1, 9], 5), ([3, 3, 3], 2)])
def test_the_adapter_that_answers_most_is_kept_the_earliest_of_equals(trained, adapters, monkeypatch, correct, kept):
    answers = iter(correct)
    monkeypatch.setattr(MethodTrainer, "correct_answers", lambda trainer, rows: next(answers))
    layout, run, record = trained(validate_every=2, save_every=3, max_steps=5, batch_size=24, micro_batch_size=24)
    accuracies = [count / tiny.VALIDATION_QUESTIONS for count in correct]
    assert record["validation"] == [
        {"step": step, "accuracy": pytest.approx(value)} for step, value in zip([2, 4, 5], accuracies, strict=True)
    ]
    assert record["kept_step"] == kept
    assert equal(adapter(layout, run), adapters[kept])
    assert not any(equal(adapter(layout, run), other) for step, other in adapters.items() if step != kept)


def test_validation_counts_what_the_evaluation_of_the_kept_adapter_counts(trained, tiny_model, tokenizer):
    layout, run, record = trained(validate_every=3)
    questions = read_parquet(layout.validation)[0].to_dict("records")
    settings = tiny.EVALUATION.model_copy(update={"batch_size": 5})
    engine = TransformersEngine(settings, tiny_model, Path(layout.adapter(run)))
    prompts = [question_prompt(tokenizer, row["question"]) for row in questions]
    [(_, answers)] = engine.generate([tokenizer(prompts, add_special_tokens=False)["input_ids"]], 48)
    correct = sum(
        not answer.truncated and grade(answer.text, row["answer"], row["answer_type"], row["options"]).correct
        for row, answer in zip(questions, answers, strict=True)
    )
    [kept] = [row for row in record["validation"] if row["step"] == record["kept_step"]]
    assert kept["accuracy"] == correct / len(questions) > 0


def test_validation_changes_nothing_that_is_learned(trained, adapters, tmp_path):
    histories, last = set(), []
    for name, training in {
        "never": {"validate_every": None},
        "greedy": {"validate_every": 2},
        "sampled": {"validate_every": 3, "validation_decoding": "sampled"},
    }.items():
        layout, run, record = trained(tmp_path / name, **training)
        histories.add(Path(layout.history(run)).read_bytes())
        last.append(adapters.pop(STEPS, None) or adapter(layout, run))
        assert bool(record["validation"]) == bool(training["validate_every"])
    assert len(histories) == 1
    assert all(state.keys() == last[0].keys() and equal(state, last[0]) for state in last)


def test_decoding_is_as_set_and_leaves_nothing_behind(tmp_path, tiny_model):
    settings = tiny.settings(tmp_path, tiny_model)
    [run] = settings.runs(tiny.choice("GeneralThinker"))
    trainer = running.build_trainer(settings, run, running.grpo_arguments(settings, run, 1, str(tmp_path / "out")))
    prompts = [row["prompt"] for row in trainer.train_dataset]

    def answers():
        return trainer.respond(prompts)

    def answers_in(sampled, seed):
        with decoding(trainer, sampled, seed):
            return answers()

    random_numbers = torch.get_rng_state()
    greedy, sampled = answers_in(False, 1), answers_in(True, 1)
    assert torch.equal(torch.get_rng_state(), random_numbers)
    assert greedy == answers_in(False, 2)
    assert sampled == answers_in(True, 1) != answers_in(True, 2)
    assert greedy != sampled
    assert answers() != answers(), "rollouts are sampled again"
    assert trainer.model.training
