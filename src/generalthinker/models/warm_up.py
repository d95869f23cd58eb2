"""Supervised training on pairs of prompt and response: the demo's pre-training, and the warm-up of other models."""

import itertools
import math
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

IGNORED = -100
# the tokens of prompt and response, and how many of them are the prompt's
Text = tuple[list[int], int]


class Trained(NamedTuple):
    """What a supervised training reports: the mean loss (nats) of its last steps, and the number of its tokens."""

    final_loss: float
    tokens: int


def warm_up(
    model: Any,
    tokenizer: Any,
    lessons: list[tuple[str, str]],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> Trained:
    """Train all weights of `model` in place on `steps` batches of `lessons`, which are (prompt, response).

    Lessons are taken in their order, and again from the first where there are fewer than `steps * batch_size`; the seed
    decides the order of the batches. A prompt has the chat template applied already. A response is ended with the
    tokenizer's end-of-turn token, and only the response's tokens are learned. `model` is a causal language model with
    the attributes `model` and `lm_head`. The same weights, lessons and settings give the same bytes on one machine.

    The optimizer is AdamW. The learning rate rises linearly in the first twentieth of the steps and then falls along a
    cosine to a hundredth of its maximum. `final_loss` is the mean over the last twentieth of the steps.
    """
    texts = encode(tokenizer, list(itertools.islice(itertools.cycle(lessons), steps * batch_size)))
    rising = max(1, steps // 20)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(
            (step + 1) / rising,
            0.01 + 0.99 * (1 + math.cos(math.pi * max(0, step - rising) / max(1, steps - rising))) / 2,
        ),
    )
    losses = []
    model.train()
    passes = batches(texts, batch_size, random.Random(f"batches:{seed}"))
    bar = tqdm(passes, total=steps, desc="supervised training", unit="step", mininterval=3)
    for ids, labels in bar:
        loss = loss_of(model, ids, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        losses.append(loss.item())
        bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
    model.eval()
    tail = losses[-max(1, steps // 20) :]
    return Trained(sum(tail) / len(tail), sum(len(tokens) for tokens, _ in texts))


def encode(tokenizer: Any, lessons: list[tuple[str, str]]) -> list[Text]:
    """Return the tokens of each lesson and the number of its prompt's, which are apart as they are in sampling."""
    prompts, responses = zip(*lessons, strict=True)
    asked = tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
    ended = [response + tokenizer.eos_token for response in responses]
    written = tokenizer(ended, add_special_tokens=False)["input_ids"]
    return [(prompt + response, len(prompt)) for prompt, response in zip(asked, written, strict=True)]


def batches(texts: list[Text], batch_size: int, rng: random.Random) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield right-padded (tokens, labels), each (B, T); labels are IGNORED outside the response.

    Texts of similar length share a batch: 32 batches at a time are sorted by length, then shuffled.
    """
    for first in range(0, len(texts), 32 * batch_size):
        window = sorted(texts[first : first + 32 * batch_size], key=lambda text: len(text[0]))
        groups = [window[place : place + batch_size] for place in range(0, len(window), batch_size)]
        rng.shuffle(groups)
        for group in groups:
            width = max(len(tokens) for tokens, _ in group)
            ids = torch.zeros(len(group), width, dtype=torch.long)
            labels = torch.full((len(group), width), IGNORED)
            for place, (tokens, prompt_length) in enumerate(group):
                ids[place, : len(tokens)] = torch.tensor(tokens)
                labels[place, prompt_length : len(tokens)] = torch.tensor(tokens[prompt_length:])
            yield ids, labels


def loss_of(model: Any, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy over the labelled tokens; `ids` and `labels` are (B, T).

    No attention mask is needed: with causal attention, no labelled token attends to padding on its right.
    """
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    target = labels[:, 1:]
    asked = target != IGNORED
    return cross_entropy(model.lm_head(hidden[asked]), target[asked])
