"""Models of kind `random`: as a downloaded Qwen2.5 in everything but its size and weights."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from generalthinker.config import load
from generalthinker.config.data import RandomModelSettings
from generalthinker.decoding import without_sampling_parameters
from generalthinker.files import read_json
from generalthinker.identity import identity_of_model
from generalthinker.models.qwen_vocabulary import EMBEDDING_ROWS
from generalthinker.models.snapshot import make_model
from generalthinker.paths import Layout
from generalthinker.prompts import question_prompt

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(find_spec("dashscope") is None, reason="Qwen's vocabulary is not installed")


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """The rehearsal, with a warm-up of four steps."""
    loaded = load([ROOT / "config/config.yaml", ROOT / "config/rehearsal.yaml"])
    small = loaded.models["qwen2.5-1.5b"]
    model = small.model_copy(update={"warm_up": small.warm_up.model_copy(update={"steps": 4, "batch_size": 2})})
    return loaded.model_copy(
        update={"results": str(tmp_path_factory.mktemp("random")), "models": {**loaded.models, "qwen2.5-1.5b": model}}
    )


@pytest.fixture(scope="module")
def folder(settings):
    make_model(settings, "qwen2.5-1.5b")
    return Path(Layout(settings.results).model("qwen2.5-1.5b"))


def test_its_folder_is_that_of_a_qwen(folder):
    config = AutoConfig.from_pretrained(folder)
    assert (config.model_type, config.vocab_size, config.dtype) == ("qwen2", EMBEDDING_ROWS, torch.bfloat16)
    assert config.hidden_size // config.num_attention_heads == 32, "a size of heads that vLLM's CPU build takes"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert "You are Qwen" in question_prompt(tokenizer, "Why?")
    assert config.eos_token_id == tokenizer.eos_token_id == 151645
    decoding = GenerationConfig.from_pretrained(folder)
    assert (decoding.temperature, decoding.top_k, decoding.eos_token_id) == (0.7, 20, [151645, 151643])
    assert read_json(folder / "warm_up.json")["tokens"] > 0


def test_its_own_sampling_parameters_are_not_used(folder):
    model = without_sampling_parameters(AutoModelForCausalLM.from_pretrained(folder))
    left = model.generation_config
    assert left.temperature in (None, 1.0)
    assert left.repetition_penalty in (None, 1.0)
    assert left.eos_token_id == [151645, 151643]


def test_size_and_warm_up_are_its_identity_and_its_label_is_not(settings):
    name = "qwen2.5-1.5b"

    def identity(**changes):
        model = settings.models[name].model_copy(update=changes)
        return identity_of_model(settings.model_copy(update={"models": {name: model}}), name)

    assert identity().hash == identity(label="other").hash
    assert identity().hash != identity(layers=3).hash
    assert set(identity().code) == {"prompts", "random"}


def test_all_sizes_of_the_rehearsal_have_heads_of_32(settings):
    for model in settings.models.values():
        assert isinstance(model, RandomModelSettings)
        assert model.hidden_size == 32 * model.heads
        assert model.heads % model.key_value_heads == 0
