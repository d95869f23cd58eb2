"""The trainer against stock TRL, bit for bit, and against the method's equations replayed in float64."""

import json
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

import method_reference as reference
import tiny
from generalthinker.answers import grade
from generalthinker.methods.likelihood_rl import LikelihoodRL
from generalthinker.training.finite import NonFiniteError
from generalthinker.training.run import grpo_arguments
from trainers import BeforeUpdate, lora, make, move_adapter, record_rollouts, same

NAMES = ["Likelihood-RL", "AM only", "AM+TC", "AM+DP", "GeneralThinker"]
BROKEN_STEP = 3


def reference_method(method, kl_coef):
    """Return a method's settings as the reference takes them."""
    modulated = method.family == "generalthinker"
    return reference.Method(
        method.modulation_strength if modulated else None,
        method.clip_threshold if modulated else None,
        modulated and method.direction_preserving,
        kl_coef,
        span=method.likelihood_span,
    )


def score_with(monkeypatch, score):
    """Let every method's responses be scored by `score(rollouts)`."""
    monkeypatch.setattr(LikelihoodRL, "score", lambda method, rollouts, scorer: score(rollouts))


def completions_of(output):
    """Return each response's tokens: up to its end, or all of them where there is none."""
    ids = output["completion_ids"].tolist()
    return [row[: row.index(2) + 1] if 2 in row else row for row in ids]


def test_without_modulation_training_equals_stock_trl_bit_for_bit(tmp_path, tiny_model):
    training = {"max_steps": 5, "learning_rate": 1e-3, "group_by_length": False}
    settings, run, ours = make(tmp_path, tiny_model, "Binary-RL", **training)

    def correct(prompts, completions, completion_ids, answer, answer_type, options, **_):
        return [
            float(ids[-1] == ours.processing_class.eos_token_id and grade(text[0]["content"], a, kind, given).correct)
            for text, ids, a, kind, given in zip(completions, completion_ids, answer, answer_type, options, strict=True)
        ]

    ours.train()
    stock = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32),
        reward_funcs=correct,
        args=GRPOConfig(**grpo_arguments(settings, run, 1, str(tmp_path / "stock"))),
        train_dataset=ours.train_dataset,
        processing_class=AutoTokenizer.from_pretrained(tiny_model, padding_side="left"),
        peft_config=ours.model.peft_config["default"],
    )
    stock.train()
    ours_log, stock_log = (
        [
            {key: row[key] for key in ("loss", "grad_norm", "kl", "entropy", "reward", "num_tokens")}
            for row in trainer.state.log_history
            if "loss" in row
        ]
        for trainer in (ours, stock)
    )
    assert len(ours_log) == 5
    assert ours_log == stock_log
    assert any(row["grad_norm"] > 0 and row["reward"] > 0 for row in ours_log), "something was learned"
    assert same(lora(ours), lora(stock))


@pytest.mark.parametrize(
    ("name", "span"), [*((name, "answer_and_brace") for name in NAMES), ("GeneralThinker", "answer_and_any_brace")]
)
def test_one_step_equals_its_replay_in_float64(tmp_path, tiny_model, tokenizer, name, span):
    _, _, trainer = make(tmp_path, tiny_model, name, max_steps=1, max_grad_norm=1e9, kl_coef=0.05)
    trainer.method = trainer.method.model_copy(update={"likelihood_span": span})
    move_adapter(trainer)
    weights, rollouts, before = lora(trainer), record_rollouts(trainer), BeforeUpdate(trainer)
    trainer.add_callback(before)
    trainer.train()

    [(rows, output)] = rollouts
    parameters = {k: tuple(part.double().requires_grad_() for part in ab) for k, ab in weights.items()}
    policy = reference.Policy(AutoModelForCausalLM.from_pretrained(tiny_model), parameters, scale=8 / 4)
    method = reference_method(trainer.method, kl_coef=0.05)
    completions = completions_of(output)
    loss, rewards, advantages = reference.step(policy, tokenizer, rows, completions, 4, method)
    loss.backward()

    assert -30.0 in rewards
    assert len(set(rewards)) > 3, "usable and unusable responses are in it"
    log = trainer.state.log_history[0]
    assert log["loss"] == pytest.approx(loss.item(), rel=1e-5, abs=1e-5)
    assert log["reward"] == pytest.approx(sum(rewards) / len(rewards), rel=1e-5)
    for row, wanted in zip(output["advantages"], advantages, strict=True):
        got = row[: len(wanted)] if row.dim() else row.expand(len(wanted))
        torch.testing.assert_close(got.double(), wanted, rtol=1e-4, atol=1e-4)
    for layer, parts in before.gradients.items():
        for got, parameter in zip(parts, parameters[layer], strict=True):
            assert (got.double() - parameter.grad).norm() <= 1e-4 * parameter.grad.norm(), layer
            assert parameter.grad.norm() > 0


def test_a_response_without_an_end_is_truncated_even_with_a_closed_box(tmp_path, tiny_model, tokenizer, monkeypatch):
    _, _, trainer = make(tmp_path, tiny_model, "GeneralThinker")
    rows = trainer.train_dataset.select([0, 0, 0, 0]).to_list()
    ended = tokenizer("so \\boxed{7}<|im_end|>")["input_ids"]
    monkeypatch.setattr(trainer, "_generate_single_turn", lambda *given: ([ended, ended[:-1], ended, ended[:-1]], None))
    seen = []
    score_with(monkeypatch, lambda rollouts: seen.extend(rollouts) or [1.0, -30.0, 1.0, -30.0])
    output = trainer._generate_and_score_completions(rows)
    assert [rollout.truncated for rollout in seen] == [False, True, False, True]
    assert {rollout.prompt for rollout in seen} == {reference.chat(rows[0]["question"], reference.INSTRUCTION)}
    assert {(rollout.question, rollout.group) for rollout in seen} == {(rows[0]["question"], 0)}
    assert [rollout.tokens for rollout in seen] == [len(ended), len(ended) - 1] * 2
    prefix = reference.tokens_within(tokenizer, ended, len("so "))
    assert trainer.prefix_mask(output).sum(dim=1).tolist() == [prefix, 0, prefix, 0]


@pytest.mark.parametrize("name", ["Likelihood-RL", "AM+DP", "GeneralThinker"])
def test_equal_rewards_move_the_policy_by_kl_alone(tmp_path, tiny_model, monkeypatch, name):
    moved = {}
    score_with(monkeypatch, lambda rollouts: [-1.0] * len(rollouts))
    for kl_coef in (0.0, 0.5):
        _, _, trainer = make(tmp_path, tiny_model, name, max_steps=2, learning_rate=1e-3, kl_coef=kl_coef)
        move_adapter(trainer)
        before = lora(trainer)
        trainer.train()
        moved[kl_coef] = not same(before, lora(trainer))
    assert moved == {0.0: False, 0.5: True}


def test_additive_modulation_moves_the_policy_even_with_equal_rewards(tmp_path, tiny_model, monkeypatch):
    score_with(monkeypatch, lambda rollouts: [-1.0] * len(rollouts))
    _, _, trainer = make(tmp_path, tiny_model, "AM only", max_steps=2, learning_rate=1e-3, kl_coef=0.0)
    before = lora(trainer)
    trainer.train()
    assert not same(before, lora(trainer)), "equation 10 adds β m whatever the response's advantage"


def test_rollouts_are_sampled_as_the_settings_say_whatever_the_checkpoint_ships(tmp_path, tiny_model):
    """Qwen2.5-Instruct ships a repetition penalty, a temperature, top-p and top-k; here they are stronger."""
    shipped = tmp_path / "instruct"
    shutil.copytree(tiny_model, shipped)
    own = json.loads((shipped / "generation_config.json").read_text())
    sampling = {
        "do_sample": True,
        "repetition_penalty": 1.8,
        "temperature": 0.1,
        "top_p": 0.5,
        "no_repeat_ngram_size": 2,
    }
    (shipped / "generation_config.json").write_text(json.dumps(own | sampling))
    sampled = []
    for place, model in enumerate((tiny_model, shipped)):
        folder = tmp_path / str(place)
        folder.mkdir()
        _, _, trainer = make(folder, model, "Binary-RL", max_steps=1)
        rollouts = record_rollouts(trainer)
        trainer.train()
        sampled.append(rollouts[0][1]["completion_ids"])
    assert torch.equal(*sampled)


def test_dropout_is_off_while_rewards_and_credit_are_computed(tmp_path, tiny_model):
    lora_settings = {"rank": 4, "alpha": 8, "dropout": 0.5}
    _, _, trainer = make(tmp_path, tiny_model, "GeneralThinker", lora=lora_settings, max_steps=1)
    move_adapter(trainer)
    trainer.model.train()
    contexts, spans = ["What is 1 + 1?"], ["2}"]
    first, second = (trainer.span_logps(contexts, spans) for _ in range(2))
    assert first == second
    assert trainer.model.training


@pytest.mark.parametrize("what", ["reward", "log-probability", "loss"])
def test_numbers_that_are_not_finite_stop_before_the_optimizer_step(tmp_path, tiny_model, monkeypatch, what):
    _, _, trainer = make(tmp_path, tiny_model, "GeneralThinker", max_steps=4, learning_rate=1e-3, kl_coef=0.0)
    score, loss = LikelihoodRL.score, GRPOTrainer.compute_loss
    states = []

    def broken(kind):
        return what == kind and len(states) == BROKEN_STEP

    def broken_score(method, rollouts, scorer):
        values = score(method, rollouts, scorer)
        states.append(lora(trainer))
        return [float("nan"), *values[1:]] if broken("reward") else values

    def broken_loss(*given):
        return loss(*given) * (torch.nan if broken("loss") else 1)

    def broken_embedding(module, given, embedded):
        return embedded * (torch.nan if broken("log-probability") else 1)

    monkeypatch.setattr(LikelihoodRL, "score", broken_score)
    monkeypatch.setattr(GRPOTrainer, "compute_loss", broken_loss)
    trainer.model.get_input_embeddings().register_forward_hook(broken_embedding)
    with pytest.raises(
        NonFiniteError, match=rf"step {BROKEN_STEP}: {what}[^\n]* is not finite(.|\n)*<\|im_start\|>user"
    ):
        trainer.train()
    assert same(states[-1], lora(trainer)), "no weight has changed"
    assert not same(states[0], states[-1]), "the steps before did change them"


def test_reference_methods_are_those_of_the_settings(tmp_path, tiny_model):
    settings = tiny.settings(tmp_path, tiny_model)
    methods = {name: reference_method(settings.methods[name], 0.0) for name in NAMES}
    knobs = {name: (method.strength, method.clip) for name, method in methods.items()}
    assert knobs == dict(zip(NAMES, [(None, None), (0.1, None), (0.1, 2.0), (0.1, None), (0.1, 2.0)], strict=True))
