"""The examples of docs/use.md run as they stand there; a script of one's own trains what the pipeline trains."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file
from trl import GRPOConfig

import tiny
import trainers
from generalthinker.config.load import load
from generalthinker.data.benchmark import build_benchmark
from generalthinker.data.mixture import build_mixture
from generalthinker.methods.binary_rl import BinaryRL
from generalthinker.methods.verifree import VeriFree
from generalthinker.paths import Layout
from generalthinker.records import slug
from generalthinker.training.run import build_trainer, grpo_arguments
from generalthinker.training.script import method_trainer

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/use.md").read_text()
MODEL = '"Qwen/Qwen2.5-1.5B-Instruct"'


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_the_script_of_the_page_trains_a_tiny_model(tiny_model, tmp_path):
    [code] = blocks("python")
    small = 'GRPOConfig("out", use_cpu=True, bf16=False, max_steps=2, max_completion_length=32, '
    assert code.count(MODEL) == code.count('GRPOConfig("out", ') == 1
    assert len([line for line in code.splitlines() if line and "import" not in line]) <= 10
    code = code.replace(MODEL, repr(str(tiny_model))).replace('GRPOConfig("out", ', small)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=tiny.environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "'modulation/sign_flip_ratio': '0'" in done.stdout + done.stderr
    adapter = load_file(tmp_path / "out/adapter/adapter_model.safetensors")
    assert any(weights.abs().max() > 0 for name, weights in adapter.items() if "lora_B" in name)


def test_a_script_trains_the_same_adapter_as_the_pipeline(tiny_model, tmp_path):
    settings = tiny.settings(tmp_path, tiny_model, max_steps=2, learning_rate=1e-3)
    [run] = settings.runs(tiny.choice("GeneralThinker"))
    arguments, lora = grpo_arguments(settings, run, 1, str(tmp_path / "out")), settings.training.lora
    questions = pd.read_parquet(Layout(settings.results).train).to_dict("records")
    asked = [{name: row[name] for name in ("question", "answer", "answer_type", "options")} for row in questions]
    trained = []
    for make in (
        lambda: build_trainer(settings, run, arguments),
        lambda: method_trainer(
            settings.method(run),
            tiny_model,
            asked,
            GRPOConfig(**arguments),
            LoraConfig(
                r=lora.rank, lora_alpha=lora.alpha, target_modules=[*lora.target_modules], task_type="CAUSAL_LM"
            ),
        ),
    ):
        trainer = make()
        trainer.train()
        trained.append(trainers.lora(trainer))
    assert trainers.same(*trained)
    assert any(torch.count_nonzero(b) for _, b in trained[0].values())


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        (VeriFree(family="verifree", form="own"), {}, "use `form: matched`, and set these in `args`"),
        (BinaryRL(family="binary_rl"), {"num_iterations": 2}, "found num_iterations = 2"),
        (BinaryRL(family="binary_rl"), {"steps_per_generation": 4}, "steps_per_generation = 4 with gradient_acc"),
        (BinaryRL(family="binary_rl"), {"use_vllm": True, "vllm_mode": "server"}, "only 'colocate' gets the adapter"),
    ],
)
def test_a_script_that_would_train_something_else_is_refused(tmp_path, method, options, words):
    args = GRPOConfig(str(tmp_path), use_cpu=True, bf16=False, num_generations=8, **options)
    with pytest.raises(ValueError, match=re.escape(words)):
        method_trainer(method, "a model that is not read", [], args, LoraConfig(r=4))


def test_the_questions_of_the_page_are_trained_on_and_asked(tiny_model, tmp_path, monkeypatch):
    files = re.findall(r"^`(my-data/\S+)`:\n\n```json\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    for name, content in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    [content] = blocks("yaml")
    (tmp_path / "mine.yaml").write_text(content)
    (tmp_path / "results.yaml").write_text(f"results: {tmp_path}/results")
    monkeypatch.chdir(tmp_path)
    settings = load([ROOT / "config/demo.yaml", ROOT / "tests/smoke.yaml", "mine.yaml", "results.yaml"])
    layout = Layout(settings.results)
    for name in settings.benchmarks:
        file = slug(name)
        build_benchmark(settings, name, Path(layout.benchmark(file)), Path(layout.benchmark_manifest(file)))
    build_mixture(
        settings,
        [Path(layout.benchmark(slug(name))) for name in settings.open_benchmarks],
        tiny_model,
        *(Path(path) for path in (layout.train, layout.validation, layout.mixture_manifest)),
    )
    drawn = pd.concat([pd.read_parquet(path) for path in (layout.train, layout.validation)])
    mine, asked = drawn[drawn["source"] == "mine/riddles"], pd.read_parquet(layout.benchmark("Riddles"))
    written = {name: [json.loads(line)["answer"] for line in text.splitlines()] for name, text in files}
    train, test = written["my-data/mine/riddles/train.jsonl"], written["my-data/mine/riddles/test.jsonl"]
    assert sorted(mine["answer"]) == sorted([*train[:2], "B. a towel"])
    assert [*asked["answer"]] == ["B. a promise", test[1]]
    options = ["-n", "--quiet", "rules", "--nolock", "--snakefile", ROOT / "Snakefile"]
    files = ["--configfile", ROOT / "config/demo.yaml", "mine.yaml", "--", "results/demo/table8.csv"]
    planned = subprocess.run(
        [sys.executable, "-m", "snakemake", *options, *files],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", planned.stdout + planned.stderr, re.MULTILINE))
    assert (jobs["train"], jobs["generate"], jobs["grade"], jobs["overlap"]) == ("1", "2", "2", "1"), planned.stderr
