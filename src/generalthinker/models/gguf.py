"""Read a language model from a GGUF file: weights and configuration by transformers, the tokenizer here.

transformers' conversion of the tokenizer takes the token that begins a turn for the one that ends it. It also ignores
how text is split before byte-pair encoding: two spaces before a digit would get other tokens than in the model's
training.
"""

from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, GgufConfig, PreTrainedTokenizerFast

from generalthinker.data import DataError

# `tokenizer.ggml.pre` → how text is split before byte-pair encoding
SPLITS = {
    "smollm": [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)],
}
CONTROL_TOKEN = 3  # in `tokenizer.ggml.token_type`


def read_model(file: Path) -> Any:
    """Return the causal language model of a GGUF file with plain float32 weights."""
    return AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )


def read_tokenizer(file: Path) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a GGUF file with its special tokens and chat template; it pads on the left.

    Raises DataError for a tokenizer that is no byte-level BPE, or splits text in a way that is not in SPLITS.
    """
    fields = {name: field.contents() for name, field in GGUFReader(file).fields.items()}
    prefix = "tokenizer.ggml"
    kind, split = fields.get(f"{prefix}.model"), fields.get(f"{prefix}.pre")
    if kind != "gpt2" or split not in SPLITS:
        raise DataError(
            f"{file.name}: its tokenizer is of the kind {kind!r} and splits text as {split!r}; expected 'gpt2' and one "
            f"of {[*SPLITS]}. Add the splitting to SPLITS in {Path(__file__).name}, or choose another model"
        )
    tokens = fields[f"{prefix}.tokens"]
    backend = Tokenizer(
        models.BPE(
            vocab={token: place for place, token in enumerate(tokens)},
            merges=[tuple(merge.split(" ")) for merge in fields[f"{prefix}.merges"]],
        )
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(SPLITS[split])
    backend.decoder = decoders.ByteLevel()
    types = zip(tokens, fields[f"{prefix}.token_type"], strict=True)
    backend.add_special_tokens([AddedToken(token, special=True) for token, kind in types if kind == CONTROL_TOKEN])
    end = fields[f"{prefix}.eos_token_id"]
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=tokens[fields[f"{prefix}.bos_token_id"]],
        eos_token=tokens[end],
        pad_token=tokens[fields.get(f"{prefix}.padding_token_id", end)],
        chat_template=fields["tokenizer.chat_template"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
