"""Supervised training on lessons: what is learned, what is not, and that the same settings give the same bytes."""

import random

import pytest
import torch
from transformers import AutoModelForCausalLM

from generalthinker.models.warm_up import IGNORED, batches, encode, loss_of, warm_up
from generalthinker.prompts import question_prompt

LESSONS = [("What is 2 + 3?", "It is \\boxed{5}."), ("Who is the oldest? Ann or Bob", "Ann, so \\boxed{Ann}")]


@pytest.fixture
def model(tiny_model):
    return AutoModelForCausalLM.from_pretrained(tiny_model)


def lessons_of(tokenizer):
    return [(question_prompt(tokenizer, question), response) for question, response in LESSONS]


def test_a_response_is_ended_and_it_alone_is_learned(tokenizer):
    texts = encode(tokenizer, lessons_of(tokenizer))
    for (tokens, prompt_length), (prompt, response) in zip(texts, lessons_of(tokenizer), strict=True):
        assert tokenizer.decode(tokens[:prompt_length]) == prompt
        assert tokenizer.decode(tokens[prompt_length:]) == response + "<|im_end|>"
    [(ids, labels)] = batches(texts, 2, random.Random(0))
    for row, (tokens, prompt_length) in enumerate(sorted(texts, key=lambda text: len(text[0]))):
        assert ids[row, : len(tokens)].tolist() == tokens
        expected = [IGNORED] * prompt_length + tokens[prompt_length:] + [IGNORED] * (ids.size(1) - len(tokens))
        assert labels[row].tolist() == expected


@torch.no_grad()
def test_the_loss_is_the_mean_over_the_responses_tokens_whatever_the_padding(model, tokenizer):
    texts = encode(tokenizer, lessons_of(tokenizer))
    [together] = [loss_of(model, *batch).item() for batch in batches(texts, 2, random.Random(0))]
    logps = []
    for tokens, prompt_length in texts:
        scores = model(torch.tensor([tokens])).logits[0].double().log_softmax(-1)
        logps += [scores[place - 1, tokens[place]].item() for place in range(prompt_length, len(tokens))]
    assert together == pytest.approx(-sum(logps) / len(logps), abs=1e-5)


def test_a_warm_up_teaches_the_responses_and_their_end(model, tokenizer):
    lessons = lessons_of(tokenizer)
    trained = warm_up(model, tokenizer, lessons, steps=60, batch_size=2, learning_rate=3e-3, seed=1)
    assert trained.final_loss < 0.1
    assert trained.tokens == 60 * sum(len(tokens) for tokens, _ in encode(tokenizer, lessons))
    for prompt, response in lessons:
        asked = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
        written = model.generate(**asked, max_new_tokens=40, do_sample=False)[0, asked["input_ids"].size(1) :]
        assert tokenizer.decode(written) == response + "<|im_end|>"


def test_the_same_seed_gives_the_same_weights_and_another_seed_does_not(tiny_model, tokenizer):
    weights = []
    for seed in (1, 1, 2):
        model = AutoModelForCausalLM.from_pretrained(tiny_model)
        lessons = [
            (prompt, response * repeated) for repeated in range(1, 5) for prompt, response in lessons_of(tokenizer)
        ]
        warm_up(model, tokenizer, lessons, steps=6, batch_size=2, learning_rate=1e-3, seed=seed)
        weights.append(model.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])
