"""The hooks of a method, each used by a method of tests/sample_methods.py in real trainings."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import method_reference as reference
from generalthinker.config.settings import Settings
from generalthinker.methods import FAMILIES, Knob, Method
from generalthinker.training.run import build_trainer, grpo_arguments
from sample_methods import SAMPLES, GroupRank, sample_run
from trainers import BeforeUpdate, lora, move_adapter, record_rollouts

GROUP = 4


class SettingsOfAnyFamily(Settings):
    """The settings, checked as always, with methods of families that the package does not know."""

    methods: dict[str, Any]


def make(folder, model, method, **training):
    settings, run = sample_run(folder, model, method, **training)
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


def test_a_further_model_must_be_one_of_the_settings_and_is_part_of_the_run(tmp_path, tiny_model):
    settings, run = sample_run(tmp_path, tiny_model, "Group rank")
    assert settings.training_identity(run)["models"] == {"judge": settings.model_identity("small")}
    other = settings.model_copy(update={"methods": {"Group rank": GroupRank(family="group_rank", judge="large")}})
    assert other.training_identity(run) != settings.training_identity(run)
    unknown = {**settings.methods, "Group rank": GroupRank(family="group_rank", judge="huge")}
    with pytest.raises(ValueError, match=r"methods.Group rank: model 'huge' for the role 'judge' is not in `models`"):
        SettingsOfAnyFamily.model_validate({**dict(settings), "methods": unknown})


@pytest.mark.parametrize("family", [*FAMILIES.values(), *SAMPLES.values()])
def test_a_family_states_what_everything_else_derives(family):
    assert family.__doc__
    assert isinstance(family.VERSION, int)
    suffixes = [knob.suffix for knob in family.knobs().values()]
    assert len(set(suffixes)) == len(suffixes)
    assert "seed" not in suffixes
    assert issubclass(family, Method)
    assert all(isinstance(knob, Knob) for knob in family.knobs().values())
