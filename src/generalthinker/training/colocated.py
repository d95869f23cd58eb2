"""The policy's weights for the vLLM engine that shares the training's process and GPU."""

from collections.abc import Iterator

from peft import PeftModel
from peft.tuners.lora import Linear
from torch import Tensor

LORA_WRAPPER = "base_model.model."


def merged_parameters(model: PeftModel) -> Iterator[tuple[str, Tensor]]:
    """Yield each weight under its name in vLLM, one at a time; an adapted layer yields W + scale · B A.

    The model is not changed. TRL merges the adapter in place and subtracts it again, which rounds twice per step: in
    bfloat16 the base weights, which are also the reference policy, then drift by an amount comparable to the adapter.
    """
    adapted = {f"{name}.base_layer.weight": layer for name, layer in model.named_modules() if isinstance(layer, Linear)}
    for name, parameter in model.named_parameters():
        if model.prefix in name:
            continue
        weight = parameter.data
        if layer := adapted.get(name):
            weight = (weight + layer.get_delta_weight(model.active_adapter)).to(weight.dtype)
        yield name.removeprefix(LORA_WRAPPER).replace(".base_layer", ""), weight
