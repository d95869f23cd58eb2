"""The policy's weights for the vLLM engine that shares the training's process and GPU."""

from collections.abc import Iterator

from peft import PeftModel
from peft.tuners.lora import Linear
from torch import Tensor

LORA_WRAPPER = "base_model.model."


def merged_parameters(model: PeftModel) -> Iterator[tuple[str, Tensor]]:
    """Yield every weight under the name vLLM knows, W + scale · B A where an adapter is, one at a time.

    The model is left as it is. Merging in place and taking the adapter out again, as TRL does, rounds twice a step: in
    bfloat16 the base weights, which are also the reference policy, then drift by as much as the adapter learns.
    """
    adapted = {f"{name}.base_layer.weight": layer for name, layer in model.named_modules() if isinstance(layer, Linear)}
    for name, parameter in model.named_parameters():
        if model.prefix in name:
            continue
        weight = parameter.data
        if layer := adapted.get(name):
            weight = (weight + layer.get_delta_weight(model.active_adapter)).to(weight.dtype)
        yield name.removeprefix(LORA_WRAPPER).replace(".base_layer", ""), weight
