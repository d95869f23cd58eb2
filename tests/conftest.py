"""What tests share: one CPU thread, property tests without a clock, and a tiny model made once per session."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import hypothesis
import pytest

hypothesis.settings.register_profile("patient", deadline=None, max_examples=80)
hypothesis.settings.load_profile("patient")


def pytest_collection_modifyitems(items):
    """Put the files with slow tests first: else the last of several workers would be alone with them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Folder of a tiny Qwen2 with tokenizer and chat template."""
    import torch

    import tiny

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("model")
    tiny.write_model(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tiny_model):
    """The tiny model's tokenizer; byte-level, so it takes any text."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model, padding_side="left")
