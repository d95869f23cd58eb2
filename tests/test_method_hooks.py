"""The hooks of a method, each used by a method of tests/sample_methods.py in real trainings."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import method_reference as reference
import tiny
from generalthinker.config.load import freeze
from generalthinker.files import read_parquet
from generalthinker.methods import FAMILIES, Knob, Method
from generalthinker.paths import Layout
from generalthinker.training.run import build_trainer, grpo_arguments
from interruption import Stop, train_to_the_end
from sample_methods import SAMPLES, GroupRank, with_samples
from test_trainer import BeforeUpdate, lora, move_adapter, record_rollouts

GROUP = 4


def prepare(folder, model, method, **training):
    folder.mkdir(exist_ok=True)
    settings = with_samples(tiny.settings(folder, model, **training))
    [run] = settings.runs(tiny.choice(method))
    return settings, run


def make(folder, model, method, **training):
    settings, run = prepare(folder, model, method, **training)
    return build_trainer(settings, run, grpo_arguments(settings, run, 1, str(folder / "checkpoints")))


def test_the_rewards_of_a_method_see_whole_groups(tmp_path, tiny_model, monkeypatch):
    trainer = make(tmp_path, tiny_model, "Group rank", max_steps=3)
    steps, rank = [], GroupRank.rewards

    def watched(method, step):
        steps.append(step)
        return rank(method, step)

    monkeypatch.setattr(GroupRank, "rewards", watched)
    trainer.train()
    assert [step.number for step in steps] == [1, 2, 3]
    for step in steps:
        assert [len(group) for group in step.groups] == [GROUP] * 4
        for number, group in enumerate(step.groups):
            assert {response.rollout.group for response in group} == {number}
            assert len({response.rollout.question for response in group}) == 1
    first, _, third = ([one.score for group in step.groups for one in group if one.score["slow"]] for step in steps)
    assert all(score["slow"] == score["initial"] == score["current"] for score in first), "nothing is learned yet"
    assert any(len({score["slow"], score["initial"], score["current"]}) == 3 for score in third)


def test_the_slow_policy_is_the_stated_average(tmp_path, tiny_model):
    trainer = make(tmp_path, tiny_model, "Group rank", max_steps=2, learning_rate=1e-2)
    start = lora(trainer)
    trainer.train()
    end = lora(trainer)
    with trainer.memory.slow():
        slow = lora(trainer)
    assert all(torch.equal(a, b) for name in end for a, b in zip(end[name], lora(trainer)[name], strict=True))
    for name in end:
        for s, before, after in zip(slow[name], start[name], end[name], strict=True):
            torch.testing.assert_close(s, 0.5 * before + 0.5 * after)
    assert not all(torch.equal(a, b) for name in end for a, b in zip(slow[name], end[name], strict=True))


def test_answer_losses_equal_their_replay_in_float64_and_left_out_responses_add_nothing(
    tmp_path, tiny_model, tokenizer
):
    trainer = make(tmp_path, tiny_model, "Answers only", max_steps=1, max_grad_norm=1e9, kl_coef=0.05)
    move_adapter(trainer)
    weights, rollouts, before = lora(trainer), record_rollouts(trainer), BeforeUpdate(trainer)
    trainer.add_callback(before)
    trainer.train()

    [(rows, output)] = rollouts
    assert not output["completion_mask"].any()
    parameters = {k: tuple(part.double().requires_grad_() for part in ab) for k, ab in weights.items()}
    policy = reference.Policy(AutoModelForCausalLM.from_pretrained(tiny_model), parameters, scale=8 / 4)
    losses = []
    for place, row in enumerate(rows):
        if (place % GROUP) % 2:
            context = reference.chat(row["question"], reference.INSTRUCTION) + "so \\boxed{"
            ids, count = reference.span_tokens(tokenizer, context, row["answer"] + "}")
            losses.append(-(0.5 + place % GROUP) * policy.logps(ids, count).sum())
    loss = sum(losses) / len(rows)
    loss.backward()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(loss.item(), rel=1e-5)
    for layer, parts in before.gradients.items():
        for got, parameter in zip(parts, parameters[layer], strict=True):
            assert (got.double() - parameter.grad).norm() <= 1e-4 * parameter.grad.norm(), layer
            assert parameter.grad.norm() > 0


def test_a_method_may_use_the_entropy_of_tokens(tmp_path, tiny_model):
    trainer = make(tmp_path, tiny_model, "Entropy gate", max_steps=1)
    rollouts = record_rollouts(trainer)
    trainer.train()
    [(_, output)] = rollouts
    mask, entropies = trainer.prefix_mask(output), trainer.credit.quantities["entropy"]
    silenced = (output["advantages"] == 0) & mask
    assert 0 < silenced.sum() < mask.sum()
    assert entropies[silenced].max() < entropies[mask & ~silenced].min()


@pytest.mark.slow
def test_what_a_method_remembers_survives_kills(tmp_path, tiny_model):
    results = []
    for name, places in (("straight", []), ("killed", [Stop("update", 4), Stop("mark", 4), Stop("update", 6)])):
        settings, run = prepare(
            tmp_path / name, tiny_model, "Group rank", max_steps=7, save_every=2, learning_rate=1e-3
        )
        frozen, layout = freeze(tiny.settings(tmp_path / name, tiny_model, **_kept(settings))), Layout(settings.results)
        for place in places:
            assert train_to_the_end(frozen, run.name, place) < 0, Path(f"{frozen}.log").read_text()
        assert train_to_the_end(frozen, run.name) == 0, Path(f"{frozen}.log").read_text()
        history = Path(layout.history(run.name))
        weights = Path(layout.adapter(run.name)) / "adapter_model.safetensors"
        results.append((weights.read_bytes(), history.read_bytes()))
        skipped = read_parquet(history)[0]["group_rank/skipped"]
        assert skipped.iloc[0] == 0, "nothing is usual yet"
        assert 0 < skipped.mean() < 1
    assert results[0] == results[1]


def _kept(settings) -> dict:
    return {name: getattr(settings.training, name) for name in ("max_steps", "save_every", "learning_rate")}


@pytest.mark.slow
def test_two_processes_see_the_groups_that_one_sees(tmp_path, tiny_model):
    script, record = Path(__file__).with_name("recorded_training.py"), tmp_path / "1.json"
    reports = []
    for processes in (1, 2):
        small = {"batch_size": 12, "micro_batch_size": 6, "learning_rate": 1e-3, "max_steps": 3}
        settings, run = prepare(tmp_path / str(processes), tiny_model, "Group rank", **small)
        frozen = freeze(tiny.settings(tmp_path / str(processes), tiny_model, **small))
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        report = tmp_path / f"{processes}.json"
        arguments = [str(script), str(frozen), run.name, str(report), *([str(record)] if processes > 1 else [])]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        rows = {(row["step"], row["place"], tuple(row["prompt"])): row for row in json.loads(report.read_text())}
        skipped = read_parquet(Layout(settings.results).history(run.name))[0]["group_rank/skipped"]
        reports.append((rows, skipped.tolist()))
    (one, skipped), (two, others) = reports
    assert one.keys() == two.keys()
    for place, row in one.items():
        assert two[place]["advantages"] == pytest.approx(row["advantages"], abs=1e-6)
    assert skipped == pytest.approx(others)
    assert len({json.dumps(row["advantages"]) for row in one.values()}) > 2


def test_a_further_model_must_be_one_of_the_settings_and_is_part_of_the_run(tmp_path, tiny_model):
    settings, run = prepare(tmp_path, tiny_model, "Group rank")
    assert settings.training_identity(run)["models"] == {"judge": settings.model_identity("small")}
    other = settings.model_copy(update={"methods": {"Group rank": GroupRank(family="group_rank", judge="large")}})
    assert other.training_identity(run) != settings.training_identity(run)
    unknown = other.model_copy(update={"methods": {"Group rank": GroupRank(family="group_rank", judge="huge")}})
    with pytest.raises(ValueError, match=r"methods.Group rank: model 'huge' for the role 'judge' is not in `models`"):
        type(unknown).model_validate(unknown)._references_exist()


@pytest.mark.parametrize("family", [*FAMILIES.values(), *SAMPLES.values()])
def test_a_family_states_what_everything_else_derives(family):
    assert family.__doc__
    assert isinstance(family.VERSION, int)
    suffixes = [knob.suffix for knob in family.knobs().values()]
    assert len(set(suffixes)) == len(suffixes)
    assert "seed" not in suffixes
    assert issubclass(family, Method)
    assert all(isinstance(knob, Knob) for knob in family.knobs().values())
