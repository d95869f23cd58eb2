"""The transformers engine: slower than vLLM, but it runs wherever torch runs."""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer

from generalthinker.config.training import EvaluationSettings
from generalthinker.decoding import without_sampling_parameters
from generalthinker.generation.base import Decoding, Generated, Prompt


class TransformersEngine:
    """Generation in left-padded batches of similar length."""

    def __init__(self, settings: EvaluationSettings, model: Path, adapter: Path | None) -> None:
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._batch_size = settings.batch_size
        self._tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
        loaded: Any = without_sampling_parameters(
            AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, settings.dtype))
        )
        if adapter is not None:
            from peft import PeftModel

            loaded = PeftModel.from_pretrained(loaded, adapter)
        self._model = loaded.to(self._device).eval()
        self.description = {
            "engine": "transformers",
            "engine_version": f"transformers {version('transformers')}",
            "dtype": settings.dtype,
            "tensor_parallel_size": 1,
            "seed": settings.seed,
            "device": torch.cuda.get_device_name(0) if self._device == "cuda" else "cpu",
        }

    def generate(
        self, prompts: list[list[Prompt]], max_new_tokens: int, decodings: list[Decoding] | None = None
    ) -> Iterator[tuple[int, list[Generated]]]:
        """Yield (place, responses) for every list in `prompts`, one list after the other."""
        for place, of_list in enumerate(prompts):
            yield place, self._responses(of_list, max_new_tokens, decodings[place] if decodings else Decoding())

    @torch.inference_mode()
    def _responses(self, prompts: list[Prompt], max_new_tokens: int, decoding: Decoding) -> list[Generated]:
        """Return one response per prompt, in order."""
        sampled = decoding.temperature > 0
        chosen: dict[str, Any] = {"do_sample": sampled}
        if sampled:
            torch.manual_seed(decoding.seed)
            chosen |= {"temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": 0}
        generated: dict[int, Generated] = {}
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        for start in tqdm(range(0, len(order), self._batch_size), desc="batches", mininterval=5):
            indices = order[start : start + self._batch_size]
            batch = self._tokenizer.pad({"input_ids": [prompts[i] for i in indices]}, return_tensors="pt")
            batch = batch.to(self._device)
            output = self._model.generate(
                **batch,
                max_new_tokens=max_new_tokens,
                **chosen,
                pad_token_id=self._tokenizer.pad_token_id,
            )
            for i, ids in zip(indices, output[:, batch["input_ids"].shape[1] :].tolist(), strict=True):
                generated[i] = self._finish(ids, max_new_tokens)
        return [generated[i] for i in range(len(prompts))]

    def _finish(self, ids: list[int], max_new_tokens: int) -> Generated:
        stops = self._model.generation_config.eos_token_id
        stops = {stops} if isinstance(stops, int) else set(stops or [self._tokenizer.eos_token_id])
        length = next((position + 1 for position, token in enumerate(ids) if token in stops), None)
        kept = ids if length is None else ids[:length]
        text = self._tokenizer.decode(kept, skip_special_tokens=True)
        return Generated(str(text), len(kept), length is None and len(kept) >= max_new_tokens)
