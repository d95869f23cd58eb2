"""What tests share: one CPU thread, property tests without a clock, and a tiny model made once per session."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import hypothesis
import pytest

hypothesis.settings.register_profile("patient", deadline=None, max_examples=80)
hypothesis.settings.load_profile("patient")


FIRST = ("slurm", "slow", "model", "processes")


def pytest_collection_modifyitems(items):
    """Mark the tests that train or start processes, and put the files with the longest tests first.

    Several workers take one file after another in this order, so that only short files are left at the end.
    """
    for item in items:
        if "tiny_model" in item.fixturenames:
            item.add_marker("model")
        if hasattr(item.module, "subprocess"):
            item.add_marker("processes")
    ranks = {}
    for item in items:
        rank = min((FIRST.index(mark.name) for mark in item.iter_markers() if mark.name in FIRST), default=len(FIRST))
        ranks[item.path] = min(rank, ranks.get(item.path, rank))
    items.sort(key=lambda item: ranks[item.path])


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


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory, tiny_model):
    """A finished training that nothing disturbed."""
    from interruption import Experiment

    experiment = Experiment(tmp_path_factory.mktemp("uninterrupted"), tiny_model)
    assert experiment.train() == 0, experiment.log
    return experiment


@pytest.fixture
def experiment(tmp_path, tiny_model):
    """The same training, not yet started."""
    from interruption import Experiment

    return Experiment(tmp_path, tiny_model)
