"""The policy's weights for the vLLM engine that shares the training's process and GPU.

`training.rollout_weights` says how the engine gets the adapter:

merged       W + δ, δ = scale · B A, rounded to the nearest value of W's type
stochastic   W + δ, rounded up or down at random so that the expected value is W + δ
native       vLLM loads the adapter as a LoRA adapter and computes W x + scale · B (A x), as the trainer does
"""

import functools
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from peft.tuners.lora import Linear
from torch import Tensor
from trl.generation import vllm_generation

from generalthinker.config.training import TrainingSettings, max_lora_rank
from generalthinker.training.launcher import RolloutEngineError

LORA_WRAPPER = "base_model.model."
DTYPES = {"bf16": "bfloat16", "fp32": "float32"}


@contextmanager
def engine_options(training: TrainingSettings) -> Iterator[None]:
    """Let TRL start its colocated vLLM engine, inside the `with` block, with the options that it has no setting for."""
    if training.rollout_engine != "vllm":
        yield
        return
    # On a CPU, compiling would take longer than it saves.
    options: dict[str, Any] = {"dtype": DTYPES[training.precision], "enforce_eager": not torch.cuda.is_available()}
    if training.rollout_weights == "native":
        options |= {"enable_lora": True, "max_lora_rank": max_lora_rank(training.lora.rank)}
    module: Any = vllm_generation  # TRL passes only its own options to the engine
    plain = module.LLM
    module.LLM = functools.partial(plain, **options)
    try:
        yield
    finally:
        module.LLM = plain


def connect(generation: Any, model: PeftModel, training: TrainingSettings, seed: int, step: Callable[[], int]) -> None:
    """Make TRL's `generation` hand the engine the policy `model` at each sync, as `training.rollout_weights` says.

    `seed` and the number that `step` returns decide the stochastic rounding.
    """
    if training.rollout_weights == "native":
        generation.sync_weights = ServedAdapter(model, generation.llm).sync
        return

    def parameters() -> Iterator[tuple[str, Tensor]]:
        stochastic = training.rollout_weights == "stochastic"
        return merged_parameters(model, rounding_generator(model.device, seed, step()) if stochastic else None)

    generation._iter_named_params = parameters


def merged_parameters(model: PeftModel, generator: torch.Generator | None = None) -> Iterator[tuple[str, Tensor]]:
    """Yield each weight under its name in vLLM, one at a time; an adapted layer yields W + scale · B A.

    With a `generator`, the sum is rounded to bfloat16 stochastically, else to the nearest value. The model is not
    changed. TRL merges the adapter in place and subtracts it again, which rounds twice per step: in bfloat16 the base
    weights, which are also the reference policy, then drift by an amount comparable to the adapter.
    """
    adapted = {f"{name}.base_layer.weight": layer for name, layer in model.named_modules() if isinstance(layer, Linear)}
    for name, parameter in model.named_parameters():
        if model.prefix in name:
            continue
        weight = parameter.data
        if layer := adapted.get(name):
            total = weight + layer.get_delta_weight(model.active_adapter)
            if generator is not None and weight.dtype == torch.bfloat16:
                weight = round_stochastically(total, generator)
            else:
                weight = total.to(weight.dtype)
        yield name.removeprefix(LORA_WRAPPER).replace(".base_layer", ""), weight


def round_stochastically(values: Tensor, generator: torch.Generator) -> Tensor:
    """Return finite float32 `values` as bfloat16, each rounded to one of its two neighbours at random.

    The probability of a neighbour grows linearly with its nearness, so that the expected value is the given one.
    """
    # A bfloat16 is the upper half of a float32's bits: a carry out of the lower half is a step away from zero.
    bits = values.float().view(torch.int32)
    noise = torch.randint(0, 1 << 16, bits.shape, dtype=torch.int32, device=bits.device, generator=generator)
    return ((bits + noise) & -(1 << 16)).view(torch.float32).bfloat16()


def rounding_generator(device: torch.device, seed: int, step: int) -> torch.Generator:
    """Return the generator of the stochastic rounding of one step of one run.

    It depends on nothing else: processes that train one model round alike, and a resumed training needs no saved state.
    """
    # SeedSequence mixes both numbers into 32 bits; torch's generator for CPUs ignores any further ones.
    return torch.Generator(device).manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))


class ServedAdapter:
    """The adapter of `model`, which the vLLM engine `llm` loads from a temporary folder at every sync."""

    def __init__(self, model: PeftModel, llm: Any) -> None:
        from vllm.lora.request import LoRARequest

        self.model, self.llm = model, llm
        self.folder = Path(tempfile.mkdtemp(prefix="rollout-adapter-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        adapter: dict[str, Any] = {"lora_name": "policy", "lora_int_id": 1, "lora_path": str(self.folder)}
        self._new = LoRARequest(**adapter, load_inplace=True)
        # A prompt whose request has load_inplace would load the adapter again at every step of the scheduler.
        llm.generate = functools.partial(llm.generate, lora_request=LoRARequest(**adapter))

    def sync(self) -> None:
        """Let the engine serve the current adapter. Raises RolloutEngineError if it would serve an older one."""
        self.model.save_pretrained(str(self.folder), save_embedding_layers=False)
        loaded = self.llm.llm_engine.add_lora(self._new)
        # The keys of the prefix cache hold the adapter's name, which stays the same.
        if not (self.llm.reset_prefix_cache() and loaded):
            raise RolloutEngineError(
                f"vLLM {'kept its prefix cache' if loaded else 'did not load the adapter'} at a sync, so that it would "
                "sample from an earlier policy. Start the training again: it continues from its last checkpoint"
            )
