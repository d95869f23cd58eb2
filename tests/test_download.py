"""Downloads from a hub on this machine: whole, killed and continued, then used without it; and refused access."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import hub as standin
from generalthinker.data import hub
from generalthinker.data.fetch import MIRROR_VARIABLE
from generalthinker.data.hub import Repository
from generalthinker.data.survey import Survey
from generalthinker.files import read_json

FIXTURES = Path(__file__).parent / "fixtures/mirror"
ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "config/config.yaml"
GATED = "Idavidrein/gpqa"
MODEL = "Qwen/Qwen2.5-1.5B-Instruct"
CARD = """---
configs:
- config_name: {subset}
  data_files:
  - split: {split}
    path: {path}
---
"""


@pytest.fixture
def server(tmp_path):
    """A hub with one model, an open and a gated dataset."""
    with standin.running(tmp_path / "hub", gated=(GATED,)) as server:
        for dataset, subset, split, file in (
            ("openai/gsm8k", "main", "test", "main/test.jsonl"),
            (GATED, "gpqa_main", "train", "gpqa_main/train.csv"),
        ):
            card = CARD.format(subset=subset, split=split, path=file)
            content = (FIXTURES / dataset / file).read_bytes()
            server.add("datasets", dataset, {"README.md": card, file: content})
        weights = {f"model-{k}.safetensors": bytes(400_000) + bytes([k]) for k in range(4)}
        server.add("models", MODEL, {"config.json": "{}", "pytorch_model.bin": "unused", **weights})
        yield server


def environment_of(server, folder, **more):
    """Return the environment of a process whose hub is `server` and whose cache is in `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", MIRROR_VARIABLE))}
    return kept | {"HF_ENDPOINT": server.url, "HF_HOME": str(folder / ".cache/huggingface")} | more


@pytest.fixture
def command(tmp_path, server):
    """Return a function that runs `generalthinker` on a configuration with this hub's repositories."""
    content = yaml.safe_load(CONFIG.read_text())
    content |= {"results": str(tmp_path / "results"), "tables": {}, "figures": {}, "reported_values": None}
    commit = server.commit
    content["models"] = {"qwen": {"kind": "hub", "label": "1.5B", "id": MODEL, "revision": commit(MODEL)}}
    content["benchmarks"] = {
        "GSM8K": content["benchmarks"]["GSM8K"] | {"revision": "main", "rows": 2},
        "GPQA": content["benchmarks"]["GPQA"] | {"revision": commit(GATED), "rows": 2},
    }
    content["evaluation"]["suites"] = {"math": ["GSM8K", "GPQA"]}
    content["data"] |= {"tokenizer_model": "qwen", "sources": {}, "decontaminate_against": ["GSM8K", "GPQA"]}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))

    def run(*arguments, start=False, **environment):
        options = {
            "args": [sys.executable, "-m", "generalthinker.cli", *arguments, "--settings", "config.yaml"],
            "cwd": tmp_path,
            "env": environment_of(server, tmp_path, **environment),
            "text": True,
        }
        if start:
            return subprocess.Popen(**options, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return subprocess.run(**options, capture_output=True, timeout=120)

    return run


def test_everything_is_downloaded_once_and_then_used_without_a_network(command, server, tmp_path):
    done = command("download", HF_TOKEN=standin.TOKEN)
    assert done.returncode == 0, done.stderr
    assert "1.6 MB to download" in done.stdout
    assert sorted(server.sent) == sorted(
        ["README.md", "README.md", "main/test.jsonl", "gpqa_main/train.csv", "config.json"]
        + [f"model-{k}.safetensors" for k in range(4)]
    )
    sent = len(server.sent)
    again = command("download", HF_TOKEN=standin.TOKEN)
    assert (again.returncode, len(server.sent)) == (0, sent)
    assert "in the cache" in again.stdout
    server.shutdown()
    for listing in (tmp_path / ".cache/huggingface/hub").glob("*/trees"):
        shutil.rmtree(listing)  # a cache that an older version of the library filled has none
    for arguments in (("check",), ("model", "qwen"), ("benchmark", "GSM8K"), ("benchmark", "GPQA")):
        done = command(*arguments, HF_HUB_OFFLINE="1")
        assert done.returncode == 0, done.stderr
    manifest = read_json(tmp_path / "results/data/benchmarks/GSM8K.json")
    assert (manifest["revision"], manifest["commit"]) == ("main", server.commit("openai/gsm8k"))
    assert (manifest["origin"], manifest["rows_read"]) == ("hub", 2)
    model = tmp_path / "results/models/qwen"
    assert sorted(path.name for path in model.iterdir()) == [
        "config.json",
        *(f"model-{k}.safetensors" for k in range(4)),
        "snapshot.json",
    ]


def test_a_killed_download_continues_after_its_last_finished_file(command, server, tmp_path):
    server.pause = 0.05
    process = command("download", "--no-datasets", start=True, HF_HUB_DISABLE_PROGRESS_BARS="1")
    deadline = time.monotonic() + 60
    # The server has sent a file before the client has stored it, so the client's cache says what is finished.
    while not list((tmp_path / ".cache/huggingface/hub").glob("models--*/snapshots/*/*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.2)
    before = list(server.sent)
    assert 0 < len(before) < 5
    server.pause = 0.0
    assert command("download", "--no-datasets").returncode == 0
    assert sorted(server.sent) == sorted(["config.json", *(f"model-{k}.safetensors" for k in range(4))])


def test_without_access_the_rest_is_downloaded_and_the_message_says_what_to_do(command, server):
    for arguments in (("check",), ("download",), ("benchmark", "GPQA")):
        done = command(*arguments)
        assert done.returncode == 1
        assert "https://huggingface.co/datasets/Idavidrein/gpqa" in done.stderr
        assert "HF_TOKEN" in done.stderr
        assert "Traceback" not in done.stderr
    assert "main/test.jsonl" in server.sent
    assert "model-3.safetensors" in server.sent
    assert "no access" in command("check").stdout
    assert "no access" in command("check", HF_HUB_OFFLINE="1").stdout


@pytest.mark.thorough
def test_the_workflow_builds_all_but_the_gated_benchmark(server, tmp_path):
    gpqa = yaml.safe_load(CONFIG.read_text())["benchmarks"]["GPQA"]
    gpqa |= {"revision": server.commit(GATED), "rows": 2}
    mine = {
        "results": str(tmp_path / "results"),
        "benchmarks": {"GPQA": gpqa},
        "data": {
            "decontaminate_against": [*yaml.safe_load((ROOT / "config/demo.yaml").read_text())["benchmarks"], "GPQA"]
        },
        "evaluation": {"suites": {"gpqa": ["GPQA"]}},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mine))
    files = [ROOT / "config/demo.yaml", ROOT / "tests/smoke.yaml", tmp_path / "mine.yaml"]
    options = ["--snakefile", ROOT / "Snakefile", "--configfile", *files]

    def run(*command, **environment):
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            env=environment_of(server, tmp_path, **environment),
            capture_output=True,
            text=True,
            timeout=300,
        )

    def snakemake(*targets, **environment):
        return run("snakemake", "--cores", "1", *options, "--", *targets, **environment)

    done = snakemake("downloads", tmp_path / "results/composition.csv")
    assert done.returncode == 1
    assert "HF_TOKEN" in done.stderr
    assert "https://huggingface.co/datasets/Idavidrein/gpqa" in done.stderr
    manifest = read_json(tmp_path / "results/data/mixture.json")
    assert list(manifest["not_decontaminated_against"]) == ["GPQA"]
    assert len(manifest["decontaminated_against"]) == 8
    assert (tmp_path / "results/composition.csv").read_text().splitlines()[-1].startswith("all,all,all,64,8,")
    again = snakemake("downloads", HF_TOKEN=standin.TOKEN)
    assert again.returncode == 0, again.stderr
    assert read_json(tmp_path / "results/data/mixture.json") == manifest, "access that comes later rebuilds nothing"
    assert (tmp_path / "results/data/benchmarks/GPQA.parquet").exists()
    check = ("generalthinker.cli", "check", "--settings", ",".join(map(str, files)))
    assert "NOT COMPARED with GPQA" in run(*check, HF_HUB_OFFLINE="1").stdout
    assert "GPQA: 0 of them occur in it" in run(*check, HF_HUB_OFFLINE="1").stdout


def test_a_revision_that_does_not_exist_stops_and_is_named(command, tmp_path):
    config = tmp_path / "config.yaml"
    content = yaml.safe_load(config.read_text())
    content["models"]["qwen"]["revision"] = "f" * 40
    config.write_text(yaml.safe_dump(content))
    done = command("model", "qwen")
    assert done.returncode == 1
    assert MODEL in done.stderr
    assert "f" * 40 in done.stderr
    assert "Traceback" not in done.stderr


def test_too_little_space_is_said_before_anything_is_downloaded():
    repository = Repository("model", MODEL, "main")
    survey = Survey({repository: ["qwen"]}, {repository: 15_000_000_000}, {}, 2_000_000_000)
    assert not survey.fits
    (problem,) = survey.problems
    for part in ("15.0 GB", "2.0 GB", "HF_HOME", str(hub.cache())):
        assert part in problem


# dataset → its subsets, each with split and file, as far as the paper's configuration reads them
DATASETS = {
    "nlile/hendrycks-MATH-benchmark": {"default": {"train": "train.jsonl", "test": "test.jsonl"}},
    "openai/gsm8k": {"main": {"test": "main/test.jsonl"}},
    "math-ai/minervamath": {"default": {"test": "test.jsonl"}},
    "math-ai/olympiadbench": {"default": {"test": "test.jsonl"}},
    "math-ai/amc23": {"default": {"test": "test.jsonl"}},
    GATED: {"gpqa_main": {"train": "gpqa_main/train.csv"}, "gpqa_diamond": {"train": "gpqa_diamond/train.csv"}},
    "cais/mmlu": {"all": {"test": "all/test.jsonl"}, "anatomy": {"test": "anatomy/test.jsonl"}},
    "TIGER-Lab/MMLU-Pro": {"default": {"test": "test.jsonl"}},
    "edinburgh-dawg/mmlu-redux-2.0": {
        "anatomy": {"test": "anatomy/test.jsonl"},
        "virology": {"test": "virology/test.jsonl"},
    },
    "m-a-p/SuperGPQA": {"default": {"train": "train.jsonl"}},
    "nvidia/Nemotron-CrossThink": {"default": {"train_qa": "train_qa.jsonl"}},
}
COPIES = {"gpqa_diamond/train.csv": "gpqa_main/train.csv", "anatomy/test.jsonl": "all/test.jsonl"}
BUILD_ALL = """
import sys
from pathlib import Path
from generalthinker.config import load
from generalthinker.data.benchmark import build_benchmark
from generalthinker.paths import Layout
from generalthinker.records import slug
settings = load([sys.argv[1]])
layout = Layout(settings.results)
for name in settings.benchmarks:
    build_benchmark(settings, name, Path(layout.benchmark(slug(name))), Path(layout.benchmark_manifest(slug(name))))
"""


def add_all(server, model):
    """Give the hub all datasets of the paper's configuration with a few rows each, and its three models."""
    for dataset, subsets in DATASETS.items():
        files, configs = {}, []
        for subset, splits in subsets.items():
            configs.append(
                {"config_name": subset, "data_files": [{"split": s, "path": path} for s, path in splits.items()]}
            )
            for path in splits.values():
                source = FIXTURES / dataset / path
                files[path] = (source if source.exists() else FIXTURES / dataset / COPIES[path]).read_bytes()
        card = yaml.safe_dump({"configs": configs})
        server.add("datasets", dataset, {"README.md": f"---\n{card}---\n", **files})
    for size in ("1.5B", "3B", "7B"):
        files = {path.name: path.read_bytes() for path in model.iterdir() if path.is_file()}
        server.add("models", f"Qwen/Qwen2.5-{size}-Instruct", files)


def paper_on(server, folder):
    """Write the paper's configuration with the hub's commits and numbers of rows, and return its content."""
    content = yaml.safe_load(CONFIG.read_text())
    content["results"] = str(folder / "results")
    for model in content["models"].values():
        model["revision"] = server.commit(model["id"])
    sources = [*content["benchmarks"].values(), *content["data"]["sources"].values()]
    for source in sources:
        source["revision"] = server.commit(source["dataset"])
        source["rows"] = None
    content["data"] |= {"train_rows": 4, "validation_rows": 2}
    (folder / "paper.yaml").write_text(yaml.safe_dump(content))
    return content


@pytest.mark.thorough
def test_the_papers_configuration_from_check_to_questions_on_a_hub_with_all_its_datasets(tmp_path, tiny_model):
    with standin.running(tmp_path / "hub", gated=(GATED,)) as server:
        add_all(server, tiny_model)
        content = paper_on(server, tmp_path)

        def run(*command, token=True, offline=False):
            options = {"HF_TOKEN": standin.TOKEN} if token else {}
            options |= {"HF_HUB_OFFLINE": "1"} if offline else {}
            return subprocess.run(
                [sys.executable, *command],
                cwd=tmp_path,
                env=environment_of(server, tmp_path, **options),
                capture_output=True,
                text=True,
                timeout=300,
            )

        def generalthinker(*arguments, **how):
            return run("-m", "generalthinker.cli", *arguments, "--settings", "paper.yaml", **how)

        refused = generalthinker("check", token=False)
        assert refused.returncode == 1
        assert "https://huggingface.co/datasets/Idavidrein/gpqa" in refused.stderr
        assert refused.stdout.count("no access") == 1, "both GPQA benchmarks are in one repository"
        checked = generalthinker("check")
        assert checked.returncode == 0, checked.stderr
        for repository in (*DATASETS, *(model["id"] for model in content["models"].values())):
            assert repository in checked.stdout
        downloaded = generalthinker("download")
        assert downloaded.returncode == 0, downloaded.stderr

        built = run("-c", BUILD_ALL, "paper.yaml", offline=True)
        assert built.returncode == 0, built.stderr
        benchmarks = {path.stem for path in (tmp_path / "results/data/benchmarks").glob("*.parquet")}
        assert benchmarks == set(content["benchmarks"])
        early = generalthinker("mixture", offline=True)
        assert (early.returncode, "Traceback" in early.stderr) == (1, False)
        assert "generalthinker model qwen2.5-1.5b" in early.stderr
        assert generalthinker("model", "qwen2.5-1.5b", offline=True).returncode == 0
        mixture = generalthinker("mixture", offline=True)
        assert mixture.returncode == 0, mixture.stderr
        assert len(read_json(tmp_path / "results/data/mixture.json")["decontaminated_against"]) == 11


@pytest.mark.thorough
def test_what_the_hub_has_under_other_names_stops_and_one_setting_repairs_it(tmp_path, tiny_model):
    with standin.running(tmp_path / "hub") as server:
        add_all(server, tiny_model)
        content = paper_on(server, tmp_path)
        crossthink = content["data"]["sources"]["Nemotron-CrossThink-QA"]
        asked = [{"stem": f"Is {n} even?", "gold": {"letter": "A" if n % 2 == 0 else "B"}} for n in range(30)]
        rows = "".join(json.dumps(row | {"alternatives": ["yes", "no"]}) + "\n" for row in asked)
        server.add("datasets", crossthink["dataset"], {"train_qa.jsonl": rows})
        correct, crossthink["revision"] = crossthink["revision"], "f" * 40

        def mixture():
            (tmp_path / "paper.yaml").write_text(yaml.safe_dump(content))
            done = subprocess.run(
                [sys.executable, "-m", "generalthinker.cli", "mixture", "--settings", "paper.yaml"],
                cwd=tmp_path,
                env=environment_of(server, tmp_path),
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert "Traceback" not in done.stderr
            return done

        content["data"]["decontaminate_against"] = []
        model = tmp_path / "results/models/qwen2.5-1.5b"
        model.parent.mkdir(parents=True)
        model.symlink_to(tiny_model)
        assert all(text in mixture().stderr for text in (crossthink["dataset"], "f" * 40, "revision"))
        crossthink["revision"] = correct
        stopped = mixture()
        assert stopped.returncode == 1
        assert "columns: ['stem', 'gold', 'alternatives']" in stopped.stderr
        assert "`columns: {question: <its name>" in stopped.stderr
        crossthink["columns"] = {"question": "stem", "answer": "gold.letter", "options": "alternatives"}
        repaired = mixture()
        assert repaired.returncode == 0, repaired.stderr
