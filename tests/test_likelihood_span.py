r"""The three scored spans of equation 6, with a vocabulary in which `}` also begins longer tokens."""

from typing import get_args

import pytest
import torch
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer

import method_reference as reference
from generalthinker.methods.generalthinker import GeneralThinker
from generalthinker.methods.likelihood_rl import LikelihoodRL
from generalthinker.rewards import Rollout, likelihood
from trainers import lora, make, move_adapter

SPANS = get_args(likelihood.LikelihoodSpan)
MERGED = ["}.", "}\n", "}}", "}}.", "7}", "7}\n"]
ANSWERS = ["7", "17", "C. three", "\\frac{1}{2}", "{[(7)]}", "é"]
PREFIXES = ["2+5=7.", "I guess ", "x" * 60 + "\n\n"]


@pytest.fixture(scope="module")
def merging_model(tmp_path_factory, tiny_model):
    """Folder of the tiny model with tokens that merge the closing brace with what is before or after it."""
    folder = tmp_path_factory.mktemp("merging")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.add_tokens([AddedToken(text) for text in MERGED])
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        brace = model.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids("}")]
        for text in MERGED:
            # They are about as likely as the brace alone.
            place = tokenizer.convert_tokens_to_ids(text)
            model.get_input_embeddings().weight[place] = brace + 0.1 * torch.randn_like(brace)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def rollouts(answers=ANSWERS):
    return [
        Rollout(
            prompt=f"<|im_start|>user\n{'why ' * n}?<|im_end|>\n<|im_start|>assistant\n",
            completion=f"{prefix}\\boxed{{x}}.",
            truncated=False,
            question="why",
            answer=answer,
            answer_type="math",
            options=None,
            tokens=9,
            group=0,
        )
        for n, prefix in enumerate(PREFIXES)
        for answer in answers
    ]


def in_float64(trainer, folder, span, given):
    weights = {layer: (a.clone(), b.clone()) for layer, (a, b) in lora(trainer).items()}
    policy = reference.Policy(AutoModelForCausalLM.from_pretrained(folder), weights, scale=8 / 4)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prefixes = [r.completion.rpartition("\\boxed{")[0] for r in given]
    return [
        reference.answer_logp(policy, tokenizer, r.prompt + prefix, r.answer, span)
        for r, prefix in zip(given, prefixes, strict=True)
    ]


@pytest.mark.parametrize(("span", "group_by_length"), [*((span, True) for span in SPANS), (SPANS[2], False)])
def test_each_span_equals_its_replay_in_float64(tmp_path, merging_model, span, group_by_length):
    _, _, trainer = make(tmp_path, merging_model, "Likelihood-RL", group_by_length=group_by_length)
    move_adapter(trainer)
    got = likelihood.reward(rollouts(), trainer, floor=-30.0, span=span)
    assert got == pytest.approx(in_float64(trainer, merging_model, span, rollouts()), rel=1e-5)
    assert len({round(value, 3) for value in got}) == len(got)


def test_the_spans_differ_where_the_box_can_be_closed_in_several_ways(tmp_path, merging_model):
    _, _, trainer = make(tmp_path, merging_model, "Likelihood-RL", temperature=1.0)
    alone, brace, any_brace = (
        likelihood.reward(rollouts(), trainer, floor=-30.0, span=span)
        for span in ("answer", "answer_and_brace", "answer_and_any_brace")
    )
    merged = {r"\frac{1}{2}", "{[(7)]}", "7", "17"}  # their last token in `a*}` holds more than the brace
    for rollout, one, two, three in zip(rollouts(), alone, brace, any_brace, strict=True):
        assert three > two + 1e-3, "other tokens begin like the last one"
        assert (one == pytest.approx(two)) == (rollout.answer in merged)
        assert one >= two


def test_any_ending_at_a_temperature_is_that_of_the_tempered_policy(tmp_path, merging_model):
    _, _, trainer = make(tmp_path, merging_model, "Likelihood-RL", temperature=0.7)
    contexts, spans = ["so \\boxed{"], ["C}"]
    [[*logps]] = trainer.span_logps(contexts, spans, any_ending=True)
    tokenizer = trainer.tokenizer
    ids = tokenizer(contexts[0] + spans[0], return_tensors="pt")["input_ids"]
    model = AutoModelForCausalLM.from_pretrained(merging_model, dtype=torch.float64)
    with torch.no_grad():
        probabilities = (model(ids).logits[0, -2] / 0.7).softmax(-1)
    closing = ["}", "}.", "}\n", "}}", "}}."]
    assert logps[-1] == pytest.approx(
        probabilities[tokenizer.convert_tokens_to_ids(closing)].sum().log().item(), rel=1e-5
    )


def test_an_open_end_and_a_given_continuation_exclude_each_other(tmp_path, merging_model):
    _, _, trainer = make(tmp_path, merging_model, "Likelihood-RL")
    with pytest.raises(ValueError, match="any_ending"):
        trainer.span_logps(["so \\boxed{"], ["7"], after=["}"], any_ending=True)


@pytest.mark.parametrize(("kind", "family"), [(LikelihoodRL, "likelihood_rl"), (GeneralThinker, "generalthinker")])
def test_only_another_span_than_the_released_one_makes_another_run(kind, family):
    plain = kind(family=family).identity()
    assert "likelihood_span" not in plain
    for span in SPANS[1:]:
        assert kind(family=family, likelihood_span=span).identity() == plain | {"likelihood_span": span}
