"""What tests share: one CPU thread, property tests without a clock, and a tiny model made once per session."""

import os
import re
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import hypothesis
import pytest

from browser import browser, page  # noqa: F401
from slurm_sweeps import cluster, sweep, undisturbed  # noqa: F401 (fixtures)

# A shell without job control starts background commands with SIGINT ignored, and every program that tests start would
# inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("patient", deadline=None, max_examples=80)
hypothesis.settings.register_profile("fast", deadline=None, max_examples=10)
hypothesis.settings.load_profile("patient")


# How the source of a test file shows that it takes long: marked so, trains the tiny model or starts other programs.
LONG = re.compile(r"mark\.(slow|slurm|vllm|browser)|\b(tiny_model|tiny_verifier|subprocess)\b")


def pytest_addoption(parser):
    parser.addoption("--fast", action="store_true", help="leave out the files whose source matches LONG of conftest.py")


def pytest_ignore_collect(collection_path, config):
    """With --fast, do not even import the long files: their imports take longer than the fast tests."""
    if config.getoption("--fast") and collection_path.match("test_*.py") and LONG.search(collection_path.read_text()):
        return True
    return None


def pytest_collection_modifyitems(items):
    """Put the files with the longest tests first, so that only short ones are left when a worker has no more to do."""
    ranks = {path: 2 if LONG.search(path.read_text()) else 3 for path in {item.path for item in items}}
    for rank, marker in ((1, "slow"), (0, "slurm")):
        ranks |= {item.path: rank for item in items if item.get_closest_marker(marker)}
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
def tiny_verifier(tmp_path_factory):
    """Folder of a tiny verifier that is right about most answers."""
    import torch

    import tiny
    from generalthinker.models import verifier

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("verifier") / "model"
    verifier.build(folder, **tiny.VERIFIER, seed=1, evaluation_questions=200)
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
