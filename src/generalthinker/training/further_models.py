"""Additional models that a method needs beside the policy, such as a verifier: frozen, on the policy's device.

Where vLLM samples the rollouts, it also serves these models; else transformers does.
"""

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from generalthinker.config.training import EvaluationSettings, TrainingSettings
from generalthinker.decoding import without_sampling_parameters
from generalthinker.generation.vllm_engine import VllmEngine
from generalthinker.training.colocated import DTYPES

BATCH_SIZE = 64  # prompts that are answered together


class ServedModels:
    """Every model in a vLLM engine of its own in this process; on a GPU it takes `memory_share` of the memory.

    Create the rollout engine first: it sets up what the engines of a process share.
    """

    def __init__(self, folders: dict[str, Path], dtype: str, memory_share: float) -> None:
        self.folders = folders
        values = {"dtype": dtype, "gpu_memory_utilization": memory_share, "suites": {}}
        settings = EvaluationSettings.model_validate(values)
        # The model's own context length holds; the backend is the one of TRL's engine.
        options: dict[str, Any] = {"max_model_len": None, "distributed_executor_backend": "external_launcher"}
        self._engines = {role: VllmEngine(settings, folder, None, **options) for role, folder in folders.items()}

    def ask(self, role: str, prompts: list[str], *, max_new_tokens: int, seconds: float) -> list[str | None]:
        """Return greedy continuations; None for those that were not finished `seconds` after the call.

        A prompt that fills the model's context is continued by nothing.
        """
        engine = self._engines[role]
        encoded = engine.llm.get_tokenizer()(prompts, add_special_tokens=False)["input_ids"]
        answers: list[str | None] = [None] * len(prompts)
        places = []
        for place, tokens in enumerate(encoded):
            if len(tokens) < engine.llm.model_config.max_model_len:
                places.append(place)
            else:
                answers[place] = ""
        asked = [[encoded[place]] for place in places]
        for number, [written] in engine.generate(asked, max_new_tokens, seconds=seconds):
            answers[places[number]] = written.text
        return answers


class LoadedModels:
    """The models in transformers; each is loaded when it is first used and then stays on the device."""

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


def load(folders: dict[str, Path], training: TrainingSettings, device: torch.device) -> ServedModels | LoadedModels:
    """Return the models in `folders`, by role, with the engine and the precision of the rollouts."""
    dtype = DTYPES[training.precision]
    if training.rollout_engine == "vllm":
        return ServedModels(folders, dtype, training.further_memory_share)
    return LoadedModels(folders, device, getattr(torch, dtype))
