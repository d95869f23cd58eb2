"""What of a checkpoint's own decoding settings is used: its special tokens, and no sampling parameter."""

from typing import Any

from transformers import GenerationConfig


def without_sampling_parameters(model: Any) -> Any:
    """Return `model` with the special tokens of its `generation_config.json` and none of the other values there.

    transformers uses a checkpoint's values for every parameter that a call leaves out. Qwen2.5-Instruct's have a
    repetition penalty, which changes greedy decoding as well.
    """
    own = model.generation_config
    model.generation_config = GenerationConfig(
        bos_token_id=own.bos_token_id, eos_token_id=own.eos_token_id, pad_token_id=own.pad_token_id
    )
    return model
