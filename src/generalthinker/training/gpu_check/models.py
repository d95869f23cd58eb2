"""The model that the check trains: the downloaded one if it is there, else one with its shape and random weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from tokenizers import pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, Qwen2Config, Qwen2Tokenizer

from generalthinker.config.data import HubModelSettings, ModelSettings, TinyModelSettings
from generalthinker.files import replacing
from generalthinker.training.gpu_check.outcome import NotTriedError

MOST_ON_A_CPU = 5e8  # parameters; a step of a larger model takes minutes to hours there
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Shape:
    """The shape of a model of the Qwen2 architecture."""

    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    intermediate: int
    vocabulary: int = 151_936
    tied: bool = True

    def config(self) -> Qwen2Config:
        """Return the model's configuration."""
        return Qwen2Config(
            hidden_size=self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.key_value_heads,
            intermediate_size=self.intermediate,
            vocab_size=self.vocabulary,
            tie_word_embeddings=self.tied,
            max_position_embeddings=32_768,
        )


# By hub id, from the models' config.json.
SHAPES = {
    "Qwen/Qwen2.5-1.5B-Instruct": Shape(1536, 28, 12, 2, 8960),
    "Qwen/Qwen2.5-3B-Instruct": Shape(2048, 36, 16, 2, 11_008),
    "Qwen/Qwen2.5-7B-Instruct": Shape(3584, 28, 28, 4, 18_944, tied=False),
}


def config_of(entry: ModelSettings) -> PretrainedConfig:
    """Return the configuration of an entry of `models` without its weights. Raises NotTriedError if it is not known."""
    if isinstance(entry, TinyModelSettings):
        shape = (entry.hidden_size, entry.layers, entry.heads, entry.key_value_heads, entry.intermediate_size)
        return Shape(*shape, vocabulary=entry.vocabulary_size).config()
    if isinstance(entry, HubModelSettings):
        cached = try_to_load_from_cache(entry.id, "config.json", revision=entry.revision)
        if isinstance(cached, str):
            return AutoConfig.from_pretrained(Path(cached).parent)
        if entry.id in SHAPES:
            return SHAPES[entry.id].config()
    raise NotTriedError(
        "its shape is not known: make the model's folder first (for a model of the hub, snakemake downloads), or add "
        "the shape to SHAPES in training/gpu_check/models.py"
    )


def prepare(entry: ModelSettings, downloaded: Path, out: Path, dtype: torch.dtype) -> dict[str, Any]:
    """Make the model's folder `out`: a link to `downloaded` if that is there, else random weights of its shape.

    Raises NotTriedError for a model that is too large for this machine's processor, or whose shape is not known.
    """
    real = (downloaded / "config.json").exists()
    config = AutoConfig.from_pretrained(downloaded) if real else config_of(entry)
    with torch.device("meta"):
        parameters = AutoModelForCausalLM.from_config(config).num_parameters()
    if not torch.cuda.is_available() and parameters > MOST_ON_A_CPU:
        raise NotTriedError(f"needs a GPU: {parameters / 1e9:.2f} billion parameters")
    if real:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.symlink_to(downloaded.resolve())
    else:
        _write_random(config, out, dtype)
    return {"parameters": parameters, "random": not real}


def _write_random(config: PretrainedConfig, out: Path, dtype: torch.dtype) -> None:
    tokenizer = byte_tokenizer(config.vocab_size)
    config.eos_token_id = config.pad_token_id = tokenizer.eos_token_id
    config.bos_token_id = None
    torch.manual_seed(1)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    with replacing(out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def byte_tokenizer(size: int) -> Qwen2Tokenizer:
    """Return a tokenizer of `size` tokens with a chat template: one token per byte; no text contains the others."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    used = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    names = [*used, *(f"unused{number}" for number in range(size - len(used)))]
    return Qwen2Tokenizer(
        vocab={name: number for number, name in enumerate(names)},
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=special,
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
    )
