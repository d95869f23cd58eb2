"""One real training step by every rival and control, against its replay in float64."""

import functools

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import method_reference as reference
import rival_reference as rivals
from rival_reference import Norm
from trainers import BeforeUpdate, lora, make, move_adapter, record_rollouts

MAX_TOKENS, GROUP = 32, 4
MATCHED = Norm()
SUMS = Norm(kl_coef=0.0, loss="luspo", mask_truncated=False)
OWN_RLPR = Norm(kl_coef=0.0, loss="dapo", entropy_coef=0.001, mask_truncated=False)
OWN_NOVER = Norm(kl_coef=0.1, anchor="slow", mask_truncated=False)
OWN_REASONER = Norm(kl_coef=1e-4, loss="dapo", entropy_coef=0.001, mask_truncated=False)
OWN_DRO = Norm(kl_coef=0.001, loss="dr_grpo", max_tokens=MAX_TOKENS)
SEED = 5
CASES = {
    "per token": ({"family": "likelihood_rl", "likelihood_per_token": True}, rivals.likelihood_per_token, MATCHED),
    "RLPR": ({"family": "rlpr"}, functools.partial(rivals.rlpr, own=False), MATCHED),
    "RLPR, own": ({"family": "rlpr", "form": "own"}, functools.partial(rivals.rlpr, own=True), OWN_RLPR),
    "VeriFree": ({"family": "verifree"}, functools.partial(rivals.verifree, own=False), MATCHED),
    "VeriFree, own": ({"family": "verifree", "form": "own"}, functools.partial(rivals.verifree, own=True), SUMS),
    "NOVER": ({"family": "nover", "efficiency_weight": 0.1}, functools.partial(rivals.nover, efficiency=0.1), MATCHED),
    "NOVER, own": ({"family": "nover", "form": "own"}, rivals.nover, OWN_NOVER),
    "LaTRO": ({"family": "latro"}, functools.partial(rivals.latro, own=False), MATCHED),
    "LaTRO, own": ({"family": "latro", "form": "own"}, functools.partial(rivals.latro, own=True), SUMS),
    "LaTRO, answer loss": (
        {"family": "latro", "answer_loss_weight": 1.0},
        functools.partial(rivals.latro, own=False, answer_weight=1.0),
        MATCHED,
    ),
    "DRO": ({"family": "dro"}, rivals.dro, MATCHED),
    "DRO, own": ({"family": "dro", "form": "own"}, rivals.dro, OWN_DRO),
    "JEPO": ({"family": "jepo", "support_weight": 0.5}, functools.partial(rivals.jepo, weight=0.5), MATCHED),
    "JEPO, own": ({"family": "jepo", "form": "own"}, rivals.jepo, Norm(kl_coef=0.001)),
    **{
        change: (
            {"family": "modulation_control", "change": change},
            functools.partial(rivals.control, change=change, seed=SEED),
            MATCHED,
        )
        for change in ("gate", "shuffled", "negated", "random")
    },
}


@pytest.mark.parametrize("name", CASES)
def test_one_step_equals_its_replay_in_float64(tmp_path, tiny_model, tokenizer, name):
    check(tmp_path, tiny_model, tokenizer, name, *CASES[name])


@pytest.mark.parametrize(("form", "norm"), [("matched", MATCHED), ("own", OWN_REASONER)])
def test_a_step_by_the_verdicts_of_a_real_verifier_equals_its_replay(
    tmp_path, tiny_model, tokenizer, tiny_verifier, form, norm
):
    method = {"family": "general_reasoner", "form": form, "verifier": "verifier", "verifier_tokens": 40}
    judge = reference.Policy(AutoModelForCausalLM.from_pretrained(tiny_verifier))
    words = AutoTokenizer.from_pretrained(tiny_verifier)
    replay = functools.partial(rivals.general_reasoner, judge=judge, words=words, own=form == "own")
    log = check(tmp_path, tiny_model, tokenizer, "Reasoner", method, replay, norm, verifier=tiny_verifier)
    assert 0 < log["verifier/accepted"] < 1


def check(tmp_path, tiny_model, tokenizer, name, method, replay, norm, **further):
    """Compare one step of `method` with `replay`, and return what was logged."""
    training = {"max_steps": 1, "max_grad_norm": 1e9, "kl_coef": MATCHED.kl_coef, "max_completion_tokens": MAX_TOKENS}
    _, _, trainer = make(tmp_path, tiny_model, name, methods={name: method}, **further, **training)
    move_adapter(trainer)
    for place, matrix in enumerate(trainer.memory._slow.values()):  # a slow policy that is neither of the other two
        matrix.normal_(std=0.1, generator=torch.Generator().manual_seed(place))
    weights, rollouts, before = lora(trainer), record_rollouts(trainer), BeforeUpdate(trainer)
    slow = weights
    if trainer.memory._slow:
        with trainer.memory.slow():
            slow = lora(trainer)
    trainer.add_callback(before)
    trainer.train()

    [(rows, output)] = rollouts
    parameters = {k: tuple(part.double().requires_grad_() for part in ab) for k, ab in weights.items()}
    policies = rivals.Policies(
        *(reference.Policy(AutoModelForCausalLM.from_pretrained(tiny_model), ab, 8 / 4) for ab in (parameters, slow)),
        tokenizer,
    )
    policies.current.temperature = policies.slow.temperature = 0.6 if name == "NOVER, own" else 1.0
    ids = output["completion_ids"].tolist()
    completions = [row[: row.index(2) + 1] if 2 in row else row for row in ids]
    parsed = [rivals.parse(tokenizer, row, tokens) for row, tokens in zip(rows, completions, strict=True)]
    loss, terms = rivals.step(policies, parsed, GROUP, replay, norm)
    loss.backward()

    assert {one.valid for one in parsed} == {True, False}
    assert any(one.truncated for one in parsed)
    log = trainer.state.log_history[0]
    assert log["reward"] == pytest.approx(rivals.mean(terms.rewards), rel=1e-5)
    largest = max(abs(value) for row in terms.advantages for value in row)
    for row, wanted in zip(output["advantages"].double(), terms.advantages, strict=True):
        got = row[: len(wanted)] if row.dim() else row.expand(len(wanted))
        torch.testing.assert_close(got, torch.tensor(wanted, dtype=torch.float64), rtol=1e-4, atol=1e-4 * largest)
    assert len({round(value / largest, 4) for row in terms.advantages for value in row}) > 3
    assert log["loss"] == pytest.approx(loss.item(), rel=1e-5, abs=1e-5)
    for layer, parts in before.gradients.items():
        for got, parameter in zip(parts, parameters[layer], strict=True):
            assert (got.double() - parameter.grad).norm() <= 1e-4 * parameter.grad.norm(), layer
            assert parameter.grad.norm() > 0
    return log
