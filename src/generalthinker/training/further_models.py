"""Additional models that a method needs beside the policy, such as a verifier: frozen, on the policy's device."""

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from generalthinker.decoding import without_sampling_parameters

BATCH_SIZE = 64  # prompts that are answered together


class FurtherModels:
    """The additional models by role; each is loaded when it is first used and then stays on the device."""

    def __init__(
        self, folders: dict[str, Path], device: torch.device, dtype: torch.dtype, batch_size: int = BATCH_SIZE
    ) -> None:
        self.folders, self._device, self._dtype, self._batch_size = folders, device, dtype, batch_size
        self._loaded: dict[str, tuple[Any, Any]] = {}

    @torch.no_grad()
    def ask(self, role: str, prompts: list[str], *, max_new_tokens: int, seconds: float) -> list[str | None]:
        """Return greedy continuations; None for those that were not finished `seconds` after the call.

        Prompts of similar length are read together, so that little is padded.
        """
        model, tokenizer = self._model(role)
        deadline = time.monotonic() + seconds
        encoded = tokenizer(prompts, add_special_tokens=False)["input_ids"]
        order = sorted(range(len(prompts)), key=lambda place: len(encoded[place]))
        answers: list[str | None] = [None] * len(prompts)
        for first in range(0, len(order), self._batch_size):
            places = order[first : first + self._batch_size]
            left = deadline - time.monotonic()
            if left <= 0:
                break
            inputs = tokenizer.pad({"input_ids": [encoded[place] for place in places]}, return_tensors="pt")
            written = model.generate(
                **inputs.to(self._device), max_new_tokens=max_new_tokens, do_sample=False, max_time=left
            )[:, inputs["input_ids"].size(1) :]
            in_time = time.monotonic() < deadline or written.size(1) == max_new_tokens
            for place, tokens in zip(places, written, strict=True):
                if in_time or self._ended(model, tokens):
                    answers[place] = tokenizer.decode(tokens, skip_special_tokens=True)
        return answers

    def _model(self, role: str) -> tuple[Any, Any]:
        if role not in self._loaded:
            folder = self.folders[role]
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=self._dtype)
            model = without_sampling_parameters(model).to(self._device).eval()
            tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
            tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
            self._loaded[role] = model, tokenizer
        return self._loaded[role]

    @staticmethod
    def _ended(model: Any, tokens: Tensor) -> bool:
        """Return whether `tokens` (T,) hold the end of a response."""
        ends = model.generation_config.eos_token_id
        return bool(torch.isin(tokens, torch.tensor(ends, device=tokens.device)).any())
