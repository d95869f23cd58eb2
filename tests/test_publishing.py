"""What a user gets of a trained run: a folder that loads from anywhere, code that runs, a card that says what is true.

The base model is on a hub, which tests/hub.py stands for; its own sampling parameters must not matter.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from huggingface_hub import ModelCard
from transformers import AutoTokenizer

import hub as standin
import tiny
from generalthinker.answers.stage import grade_file
from generalthinker.config.load import load
from generalthinker.data.benchmark import build_benchmark
from generalthinker.data.mixture import build_mixture
from generalthinker.files import read_json, read_parquet
from generalthinker.generation.stage import generate_suite
from generalthinker.methods import FAMILIES
from generalthinker.paths import Layout
from generalthinker.prompts import INSTRUCTION, question_prompt
from generalthinker.publishing.card import method_texts
from generalthinker.publishing.folder import make_folder
from generalthinker.publishing.source import NotPublishableError, base_model
from generalthinker.publishing.upload import upload
from generalthinker.records import slug
from generalthinker.reporting.cells import evaluations_of_run
from generalthinker.reporting.statistics import wilson

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
BASE, ADAPTER = "toys/small-Instruct", "toys/adapter"
OWN_SAMPLING = {"do_sample": True, "repetition_penalty": 1.8, "temperature": 0.7, "top_p": 0.8, "top_k": 20}
QUESTION = 'question = "What is 3 + 4?"'
MINE = {
    "models": {
        "served": {
            **{"kind": "hub", "label": "S", "id": BASE, "revision": "main"},
            **{"licence": "toy-research", "licence_link": "https://example.org/LICENSE"},
        }
    },
    "data": {"tokenizer_model": "served"},
    "training": {
        **{"max_steps": 4, "group_size": 4, "learning_rate": 2.0e-3, "max_completion_tokens": 48},
        **{"validate_every": None, "lora": {"rank": 4, "alpha": 8}},
    },
    "evaluation": {"engine": "transformers", "max_new_tokens": 48, "max_model_len": 256},
    "tables": {
        "table8": {
            "kind": "benchmarks",
            "title": "Served",
            "groups": ["Toy arithmetic"],
            "runs": {name: {"model": "served", "method": name} for name in ("Base", "GeneralThinker")},
        }
    },
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory, tiny_model):
    """A run that was trained and evaluated on a base model from the hub, the folder of its adapter, and the hub."""
    place = tmp_path_factory.mktemp("publishing")
    results = place / "results"
    (place / "mine.yaml").write_text(yaml.safe_dump({"results": str(results), **MINE}))
    files = [ROOT / "config/demo.yaml", ROOT / "tests/smoke.yaml", place / "mine.yaml"]
    with standin.running(place / "hub") as server:
        server.add("models", BASE, {path.name: path.read_bytes() for path in tiny_model.iterdir()})
        own = json.loads((tiny_model / "generation_config.json").read_text())
        server.add("models", BASE, {"generation_config.json": json.dumps(own | OWN_SAMPLING)})

        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment = kept | {"HF_ENDPOINT": server.url, "HF_HOME": str(place / "cache"), "OMP_NUM_THREADS": "1"}

        def python(*arguments, cwd=place, **more):
            return subprocess.run(
                [sys.executable, *map(str, arguments)],
                cwd=cwd,
                env=environment | more,
                capture_output=True,
                text=True,
                timeout=500,
            )

        def command(*arguments, settings=files, **more):
            named = ("--settings", ",".join(map(str, settings)))
            return python("-m", "generalthinker.cli", *arguments, *named, **more)

        done = command("model", "served")
        assert done.returncode == 0, done.stderr
        settings = load(files)
        layout, run = Layout(str(results)), settings.runs(settings.tables["table8"].runs["GeneralThinker"])[0]
        benchmarks = {name: Path(layout.benchmark(slug(name))) for name in settings.benchmarks}
        for name, path in benchmarks.items():
            build_benchmark(settings, name, path, Path(layout.benchmark_manifest(slug(name))))
        build_mixture(
            settings,
            [*benchmarks.values()],
            Path(layout.model("served")),
            *(Path(path) for path in (layout.train, layout.validation, layout.mixture_manifest)),
        )
        tiny.train(settings, run)
        for one, suite in evaluations_of_run(settings, run):
            responses = generate_suite(settings, one, suite)
            grade_file(responses, [*benchmarks.values()], Path(layout.grades(one.name, suite)), 1)
        folder = make_folder(settings, run)
        yield SimpleNamespace(**locals())


def snippets(card: str) -> list[str]:
    """Return the card's Python code, that for PEFT and that for vLLM."""
    return re.findall(r"^```python\n(.*?)^```$", card, re.DOTALL | re.MULTILINE)


def telling(shared) -> tuple[str, str]:
    """Return a question that the adapter answers otherwise than the base model, and its recorded response."""
    layout = shared.layout
    (after, _), (before, _) = (
        read_parquet(layout.generations(run.name, suite))
        for run, suite in reversed(evaluations_of_run(shared.settings, shared.run))
    )
    questions = pd.concat([pd.read_parquet(path) for path in shared.benchmarks.values()]).set_index("id")["question"]
    for old, new in zip(before.itertuples(), after.itertuples(), strict=True):
        if old.response != new.response and not new.truncated:
            return questions[new.id], new.response
    raise AssertionError("the training changed no response")


def asking(code: str, question: str) -> str:
    assert QUESTION in code
    return code.replace(QUESTION, f"question = {question!r}")


def test_the_code_for_peft_gives_the_evaluated_response_wherever_the_folder_is_copied(shared, tmp_path):
    question, response = telling(shared)
    shutil.copytree(shared.folder, tmp_path / "copy")
    code = asking(snippets((shared.folder / "README.md").read_text())[0], question)
    done = shared.python("-c", code, cwd=tmp_path / "copy")
    assert done.stdout == f"{response}\n", done.stderr
    moved = code.replace('adapter = "."', f"adapter = {str(tmp_path / 'copy')!r}")
    assert moved != code
    assert shared.python("-c", moved, cwd=tmp_path).stdout == f"{response}\n"


@pytest.mark.thorough  # vLLM starts a second time
@pytest.mark.vllm
def test_the_code_for_vllm_gives_the_evaluated_response(shared, tmp_path):
    question, response = telling(shared)
    code = asking(snippets((shared.folder / "README.md").read_text())[1], question)
    code = code.replace('adapter = "."', f"adapter = {str(shared.folder)!r}")
    (tmp_path / "ask.py").write_text(code)
    engine = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_NO_USAGE_STATS": "1"}
    # One process: those that vLLM starts by default import everything again.
    done = shared.python("ask.py", cwd=tmp_path, VLLM_ENABLE_V1_MULTIPROCESSING="0", **engine)
    assert done.stdout.endswith(f"{response}\n"), done.stdout + done.stderr


def test_the_folder_holds_the_run_s_adapter_and_names_its_base_model_by_id_and_commit(shared):
    adapter = Path(shared.layout.adapter(shared.run.name))
    same = "adapter_model.safetensors"
    assert (shared.folder / same).read_bytes() == (adapter / same).read_bytes()
    now, saved = (read_json(folder / "adapter_config.json") for folder in (shared.folder, adapter))
    assert now.pop("base_model_name_or_path") == BASE
    assert now.pop("revision") == shared.server.commit(BASE)
    assert saved.pop("base_model_name_or_path") == shared.layout.model("served")
    assert (saved.pop("revision"), now.pop("target_modules")) == (None, sorted(saved.pop("target_modules")))
    assert now == saved


def test_prompt_and_tokenizer_give_the_evaluation_s_prompt(shared):
    prompt = read_json(shared.folder / "prompt.json")
    evaluated = question_prompt(AutoTokenizer.from_pretrained(shared.layout.model("served")), "Who? {x}")
    tokenizer = AutoTokenizer.from_pretrained(shared.folder)
    [message] = prompt["messages"]
    asked = [{**message, "content": message["content"].replace("{question}", "Who? {x}")}]
    arguments = prompt["chat_template_arguments"]
    assert tokenizer.apply_chat_template(asked, tokenize=False, **arguments) == evaluated
    assert prompt["prompt"].replace("{question}", "Who? {x}") == evaluated
    assert prompt["instruction"] == INSTRUCTION
    assert prompt["stop"] == ["<|im_end|>"]
    assert prompt["generation"] == {"do_sample": False, "repetition_penalty": 1.0, "max_new_tokens": 48}
    for code in snippets((shared.folder / "README.md").read_text()):
        assert f"instruction = {json.dumps(INSTRUCTION)}\n" in code


def test_the_metadata_are_what_the_hub_reads(shared):
    data = ModelCard.load(shared.folder / "README.md").data
    assert (data.base_model, data.base_model_relation) == (BASE, "adapter")
    assert data.to_dict()["library_name"] == "peft"
    assert (data.license, data.license_name, data.license_link) == (
        "other",
        "toy-research",
        "https://example.org/LICENSE",
    )
    assert (data.pipeline_tag, data.datasets) == ("text-generation", None)
    assert data.model_name == shared.run.name
    assert [result.dataset_name for result in data.eval_results] == [*shared.settings.benchmarks]
    assert {result.metric_type for result in data.eval_results} == {"accuracy"}


def test_the_card_s_accuracies_are_the_counts_of_the_grades_with_their_intervals(shared):
    card = (shared.folder / "README.md").read_text()
    grades, base = (
        pd.read_parquet(shared.layout.grades(run.name, suite)).groupby("benchmark")["correct"].agg(["sum", "count"])
        for run, suite in reversed(evaluations_of_run(shared.settings, shared.run))
    )
    assert grades["sum"].sum() + base["sum"].sum() > 0
    for benchmark, (right, total) in grades.iterrows():
        interval = wilson(right / total, total)
        row = rf"\| {benchmark} \| synthetic, \w+ \| {right} \| {total} \| ([\d.]+) \| ([\d.]+)–([\d.]+) \| ([\d.]+) \|"
        accuracy, low, high, before = map(float, re.search(row, card).groups())
        assert accuracy == pytest.approx(100 * right / total, abs=0.005)
        assert (low, high) == pytest.approx((100 * interval.low, 100 * interval.high), abs=0.005)
        assert before == pytest.approx(100 * base.loc[benchmark, "sum"] / base.loc[benchmark, "count"], abs=0.005)


def test_the_card_names_method_data_settings_versions_hardware_and_commit(shared):
    card, record = (shared.folder / "README.md").read_text(), read_json(shared.layout.run_record(shared.run.name))
    for words in (
        "Â_t = Â + β |Â| w_t",
        "R = log π_θ(a* | x, r)",
        "| `modulation_strength (β)` | 0.1 | β, equations 10 and 14",
        f"| Synthetic | synthetic, train | – | {64} | {8} | MIT |",
        "| `learning_rate` | 0.002 |",
        "| `lora.rank` | 4 |",
        "4 optimizer steps, seed 1, ",
        f"`{record['commit']}`",
        f"peft {record['versions']['peft']}",
        f"{record['hardware']['cores']} cores",
        "Adapter of step 4.",
        "[toy-research](https://example.org/LICENSE)",
    ):
        assert words in card, words
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())["preferred-citation"]
    assert citation["title"] in card
    assert " and ".join(f"{a['family-names']}, {a['given-names']}" for a in citation["authors"]) in card


def test_the_folder_has_the_same_bytes_when_it_is_made_again(shared):
    before = {path.name: path.read_bytes() for path in shared.folder.iterdir()}
    done = shared.command("adapter", shared.run.name, HF_HUB_OFFLINE="1", PYTHONHASHSEED="7")
    assert done.stdout.strip() == str(shared.folder), done.stderr
    assert {path.name: path.read_bytes() for path in shared.folder.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("adapter", "served/Base"), "served/Base: Base is not trained"),
        (("adapter", "served/Binary-RL_seed-1"), "the run is not finished"),
        (("adapter", "served/Binary-RL_seed-1"), "runs/served/Binary-RL_seed-1/adapter/adapter_model.safetensors"),
        (("adapter", "served/Foo"), "run 'served/Foo': expected model/method"),
        (("publish", "RUN"), "--to '': expected a repository on the hub as owner/name"),
        (("publish", "RUN", "--to", "adapter"), "--to 'adapter': expected a repository"),
        (("publish", "RUN", "--to", "toys/a b", "--dry-run"), "--to 'toys/a b': expected a repository"),
        (("publish", "RUN", "--to", ADAPTER), "hf auth login"),
        (("publish", "RUN", "--to", ADAPTER, "HF_HUB_OFFLINE"), "HF_HUB_OFFLINE unset"),
    ],
)
def test_what_cannot_be_shared_is_answered_with_what_to_do(shared, arguments, words):
    offline = {"HF_HUB_OFFLINE": "1"} if "HF_HUB_OFFLINE" in arguments else {}
    asked = [shared.run.name if word == "RUN" else word for word in arguments if word != "HF_HUB_OFFLINE"]
    done = shared.command(*asked, **offline)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert ADAPTER not in shared.server.created


def test_a_run_of_other_settings_is_not_shared_under_these(shared):
    training = shared.settings.training.model_copy(update={"learning_rate": 1e-4})
    with pytest.raises(NotPublishableError, match=r"they differ in: training\. Use the settings"):
        make_folder(shared.settings.model_copy(update={"training": training}), shared.run)


def test_an_adapter_of_a_model_that_was_built_here_names_its_folder_and_is_not_uploaded(shared, monkeypatch):
    model = load([ROOT / "config/demo.yaml"]).models["small"]
    settings = shared.settings.model_copy(update={"models": {"served": model}})
    monkeypatch.chdir(shared.place)
    base = base_model(settings.model_copy(update={"results": "results"}), shared.run)
    assert (base.name, base.on_hub) == (shared.layout.model("served"), False)
    with pytest.raises(NotPublishableError, match=r"is on no hub, so that nobody could load"):
        upload(settings, shared.run, shared.folder, ADAPTER)


def test_a_dry_run_shows_files_sizes_and_card_and_an_upload_loads_from_the_hub(shared, tmp_path):
    card = (shared.folder / "README.md").read_text()
    (shared.folder / ".snakemake_timestamp").touch()
    done = shared.command("publish", shared.run.name, "--to", ADAPTER, "--dry-run", HF_HUB_OFFLINE="1")
    files = {path.name: path.stat().st_size for path in shared.folder.iterdir() if path.stat().st_size}
    listed = dict(re.findall(r"^ *([\d,]+)  (\S+)$", done.stdout, re.MULTILINE))
    assert {name: f"{size:,}" for name, size in files.items()} == {name: size for size, name in listed.items()}
    assert done.stdout.endswith(card.replace('adapter = "."', f'adapter = "{ADAPTER}"') + "\n")
    assert (shared.folder / "README.md").read_text() == card
    assert ADAPTER not in shared.server.created

    (shared.folder / "README.md").write_text(card.replace("## Limits", "## Limits\n\n- A line of my own."))
    done = shared.command("publish", shared.run.name, "--to", ADAPTER, HF_TOKEN=standin.TOKEN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith(f"{shared.server.url}/{ADAPTER}/commit/")
    assert shared.server.created == {ADAPTER: True}, "a new repository is private"
    uploaded = {path.name: path for path in (shared.server.root / "models" / ADAPTER).iterdir()}
    assert set(uploaded) == set(files)
    for name, path in uploaded.items():
        assert path.read_bytes() == (shared.folder / name).read_bytes()
    assert "- A line of my own." in uploaded["README.md"].read_text()

    question, response = telling(shared)
    code = asking(snippets(uploaded["README.md"].read_text())[0], question)
    assert f'adapter = "{ADAPTER}"' in code
    ran = shared.python("-c", code, cwd=tmp_path, HF_HOME=str(tmp_path / "cache"))
    assert ran.stdout == f"{response}\n", ran.stderr


def test_a_folder_of_another_adapter_is_not_uploaded(shared):
    weights = shared.folder / "adapter_model.safetensors"
    bytes_of = weights.read_bytes()
    weights.unlink()  # it is the same file as the run's
    weights.write_bytes(bytes_of[:-1] + b"x")
    done = shared.command("publish", shared.run.name, "--dry-run")
    make_folder(shared.settings, shared.run)
    assert done.returncode == 1
    assert f"this is not the adapter of the finished run; `generalthinker adapter {shared.run.name}`" in done.stderr


@pytest.mark.parametrize("family", [name for name, kind in FAMILIES.items() if kind.reward])
def test_every_method_says_what_it_is(family):
    texts = method_texts(FAMILIES[family](family=family))
    assert texts[-1].strip()
    assert all("```" not in text for text in texts)
