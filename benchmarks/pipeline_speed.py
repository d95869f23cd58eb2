"""What the pipeline costs around the training step: evaluation, grading, and the commands that only read results.

Evaluation and grading are measured in one process with one vLLM engine, whose start is not counted: the evaluate stage
against `LLM.generate` on the same prompts, alternating, each time with an empty prefix cache; grading against the
generation of the same responses. The model is the demo's smallest one after a shorter pre-training, with an adapter as
all trained runs have one. The commands are measured as processes of their own: `plan all` and `status` for the paper's
configuration, Snakemake on a finished demo (its outputs are made up), and the rules `table` and `table_row` on made-up
grades.

    python benchmarks/pipeline_speed.py [--rounds 5] [--commands-only] [--json FILE] [--brief]
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from generalthinker.answers.stage import grade_file
from generalthinker.config.load import load
from generalthinker.config.settings import Settings
from generalthinker.data.benchmark import build_benchmark
from generalthinker.files import read_parquet, write_parquet
from generalthinker.paths import Layout
from generalthinker.records import RunSpec, slug
from generalthinker.reporting.cells import all_evaluations
from generalthinker.reporting.rows import write_row
from generalthinker.reporting.tables import rows
from status_speed import write_results

ROOT = Path(__file__).resolve().parent.parent
DEMO, PAPER = ROOT / "config/demo.yaml", ROOT / "config/config.yaml"
RUN, SUITE = RunSpec("small", "Binary-RL", seed=1), "toys"
TABLE, ROW = "table1", "Toy-Sum"
# What a command that joins small files has no use for.
HEAVY = ("torch", "transformers", "vllm", "datasets", "matplotlib", "scipy", "pandas", "numpy", "pyarrow")
LABELS = {
    "evaluate_vs_bare_vllm": "throughput, evaluate stage / bare vLLM",
    "evaluate_vs_bare_vllm_lowest": "  its lowest round",
    "evaluate_responses_per_second": "  responses per second",
    "grade_vs_generate": "seconds, grading / generation",
    "plan_seconds": "s, plan all (the paper's configuration)",
    "noop_seconds": "s, snakemake on the finished demo",
    "status_seconds": "s, status (the paper's configuration)",
    "import_seconds": "s, the rule table",
    "row_seconds": "s, the rule table_row",
    "import_heavy": "heavy modules of the rule table",
    "row_heavy": "heavy modules of the rule table_row",
}


def measure(rounds: int = 5, brief: bool = False, stages: bool = True) -> dict[str, float | str]:
    """Return all numbers by name: ratios, seconds, and which heavy modules a table's rules import.

    `stages` are the parts that need torch and vLLM. Everything is written to a temporary folder.
    """
    with tempfile.TemporaryDirectory() as name:
        measured: dict[str, float | str] = {}
        if stages:
            measured |= measure_stages(Path(name), rounds, brief)
        return measured | measure_commands(Path(name), rounds)


def measure_stages(folder: Path, rounds: int, brief: bool) -> dict[str, float]:
    """Return the ratios of the evaluate stage to bare vLLM, and of grading to generation; medians over `rounds`."""
    settings = small_demo(folder, rows=5 if brief else 100, steps=40 if brief else 2000)
    times = time_stages(settings, start_engine(settings), folder, rounds)
    ratios = [bare / stage for stage, bare in zip(times["stage"], times["bare"], strict=True)]
    grading = [grade / stage for stage, grade in zip(times["stage"], times["grading"], strict=True)]
    return {
        "evaluate_vs_bare_vllm": statistics.median(ratios),
        "evaluate_vs_bare_vllm_lowest": min(ratios),
        "evaluate_responses_per_second": len(prompts_of(settings)) / statistics.median(times["stage"]),
        "grade_vs_generate": statistics.median(grading),
    }


def start_engine(settings: Settings) -> Any:
    """Return a vLLM engine with the model and the adapter of RUN."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # without it, vLLM's CPU build is many times slower
    import torch

    from generalthinker.generation.vllm_engine import VllmEngine

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    layout = Layout(settings.results)
    model, adapter = Path(layout.model(slug(RUN.model))), Path(layout.adapter(RUN.name))
    return VllmEngine(settings.evaluation, model, adapter)


def time_stages(settings: Settings, engine: Any, folder: Path, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of the evaluate stage, of bare vLLM and of grading, in each of `rounds` rounds after one more.

    All three work on the questions of SUITE up to the benchmarks' limits.
    """
    from vllm import SamplingParams

    from generalthinker.generation.stage import generate_suite

    prompts = prompts_of(settings)
    greedy = SamplingParams(temperature=0.0, max_tokens=settings.evaluation.max_new_tokens)
    times: dict[str, list[float]] = {"stage": [], "bare": [], "grading": []}
    for number in range(rounds + 1):  # the first round fills caches and is not counted
        # A folder without responses, because the stage would not generate them again.
        fresh = settings.model_copy(update={"results": str(folder / f"round{number}")})
        shutil.rmtree(fresh.results, ignore_errors=True)
        shutil.copytree(settings.results, fresh.results)
        layout = Layout(fresh.results)
        benchmarks = [Path(layout.benchmark(slug(name))) for name in fresh.suite_benchmarks(SUITE)]
        responses, grades = Path(layout.generations(RUN.name, SUITE)), Path(layout.grades(RUN.name, SUITE))
        alternatives: list[tuple[str, Callable[[], object]]] = [
            ("stage", partial(generate_suite, fresh, RUN, SUITE, lambda *_: engine)),
            ("bare", partial(engine.llm.generate, prompts, greedy, lora_request=engine.adapter)),
        ]
        for name, work in alternatives[:: 1 if number % 2 else -1]:
            engine.llm.reset_prefix_cache()
            times[name].append(seconds(work))
        times["grading"].append(seconds(partial(grade_file, responses, benchmarks, grades, 1)))
    return {name: values[1:] for name, values in times.items()}


def small_demo(folder: Path, rows: int, steps: int) -> Settings:
    """Return the demo's settings after building all that evaluating RUN needs.

    That is benchmarks with `rows` questions each, the smallest model after `steps` of pre-training, and an adapter.
    """
    from generalthinker.models.tiny import build

    content = yaml.safe_load(DEMO.read_text())
    content["results"] = str(folder / "small")
    for benchmark in content["benchmarks"].values():
        benchmark["rows"] = rows
    content["models"]["small"]["steps"] = steps
    (folder / "small.yaml").write_text(yaml.safe_dump(content))
    settings = load([folder / "small.yaml"])
    build_benchmarks(settings)
    options = settings.models["small"].model_dump(exclude={"kind", "label"})
    layout = Layout(settings.results)
    model = Path(layout.model("small"))
    build(model, **options, evaluation_questions=8)
    write_adapter(settings, model, Path(layout.adapter(RUN.name)))
    return settings


def build_benchmarks(settings: Settings) -> None:
    """Write the question files of all benchmarks, which are synthetic."""
    layout = Layout(settings.results)
    for name in settings.benchmarks:
        file, manifest = layout.benchmark(slug(name)), layout.benchmark_manifest(slug(name))
        build_benchmark(settings, name, Path(file), Path(manifest))


def write_adapter(settings: Settings, model: Path, out: Path) -> None:
    """Write a fresh adapter of the settings' rank: it costs what a trained one costs and changes no response."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    lora = settings.training.lora
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=list(lora.target_modules))
    get_peft_model(AutoModelForCausalLM.from_pretrained(model), config).save_pretrained(str(out))


def prompts_of(settings: Settings) -> list[str]:
    """Return the prompts of the suite, in the stage's order."""
    from transformers import AutoTokenizer

    from generalthinker.prompts import question_prompt

    layout = Layout(settings.results)
    tokenizer = AutoTokenizer.from_pretrained(layout.model(slug(RUN.model)))
    return [
        question_prompt(tokenizer, question)
        for name in settings.suite_benchmarks(SUITE)
        for question in read_parquet(layout.benchmark(slug(name)))[0]["question"][: settings.benchmarks[name].limit]
    ]


def measure_commands(folder: Path, rounds: int) -> dict[str, float | str]:
    """Return the seconds of whole processes, medians over `rounds`, and the heavy modules that two of them import."""
    paper = folder / "paper.yaml"
    paper.write_text(yaml.safe_dump(yaml.safe_load(PAPER.read_text()) | {"results": str(folder / "paper")}))
    measured: dict[str, float | str] = {}
    measured |= process("plan", command("plan", "all", "--settings", str(paper)), ROOT, rounds)
    write_results(paper)
    measured |= process("status", command("status", "--settings", str(paper)), ROOT, rounds)

    demo = folder / "demo"
    finish_demo(demo)
    measured |= process("noop", snakemake(demo, "--cores", "1"), ROOT, rounds)
    for name, arguments in (("import", ["table", TABLE]), ("row", ["row", TABLE, ROW])):
        arguments += ["--settings", str(DEMO)]
        measured |= process(name, command(*arguments), demo, rounds)
        measured[f"{name}_heavy"] = heavy_modules(arguments, demo)
    return measured


def command(*arguments: str) -> list[str]:
    """Return a `generalthinker` command in this interpreter."""
    return [sys.executable, "-m", "generalthinker.cli", *arguments]


def snakemake(folder: Path, *options: str) -> list[str]:
    """Return a Snakemake command that makes the demo in `folder`."""
    options = ("--configfile", str(DEMO), "--directory", str(folder), *options)
    return [sys.executable, "-m", "snakemake", *options]


def finish_demo(folder: Path) -> None:
    """Write a finished demo: questions and grades that a table can be made of, a placeholder for every other output.

    Snakemake records it as finished, with the settings of every job.
    """
    settings = load([DEMO]).model_copy(update={"results": str(folder / load([DEMO]).results)})
    folder.mkdir()
    summary = subprocess.run(snakemake(folder, "--summary"), cwd=ROOT, capture_output=True, text=True, check=True)
    for line in summary.stdout.splitlines()[1:]:
        path, rule = folder / line.split("\t")[0], line.split("\t")[2]
        if rule == "pretrain" or path.name == "adapter":
            path.mkdir(parents=True)
        elif path.suffix == ".parquet":
            write_parquet(path, pd.DataFrame({"step": [1]}))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
    build_benchmarks(settings)
    layout = Layout(settings.results)
    for run, suite in all_evaluations(settings):
        frames = []
        for name in settings.suite_benchmarks(suite):
            ids = read_parquet(layout.benchmark(slug(name)))[0]["id"]
            frames.append(pd.DataFrame({"benchmark": name, "id": ids, "correct": [i % 3 > 0 for i in range(len(ids))]}))
        frame = pd.concat(frames, ignore_index=True).assign(extracted="1", reason="", truncated=False, tokens=40)
        write_parquet(layout.grades(run.name, suite), frame, {"generation": {"engine": "made up"}})
    for name in rows(settings, TABLE):
        write_row(settings, TABLE, name, Path(layout.row(TABLE, name)))
    touch = snakemake(folder, "--touch", "--forceall", "--cores", "1")
    subprocess.run(touch, cwd=ROOT, capture_output=True, text=True, check=True)


def heavy_modules(arguments: list[str], folder: Path) -> str:
    """Return the modules of HEAVY that a `generalthinker` command imports, or "none"."""
    code = (
        f"import sys; sys.argv[1:] = {arguments!r}\nfrom generalthinker.cli import app\napp(standalone_mode=False)\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1] or "none"


def seconds(work: Callable[[], object]) -> float:
    """Return how long one call of `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def process(name: str, arguments: list[str], folder: Path, rounds: int) -> dict[str, float | str]:
    """Return the median duration of a command that must succeed, and the processor time that it takes, in seconds.

    On a machine that also does other work, the processor time is the steadier of the two.
    """
    durations, processor = [], []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        durations.append(seconds(lambda: subprocess.run(arguments, cwd=folder, capture_output=True, check=True)))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {
        f"{name}_seconds": statistics.median(durations),
        f"{name}_processor_seconds": statistics.median(processor),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--commands-only", action="store_true", help="leave out what needs vLLM")
    parser.add_argument("--json", type=Path, help="file for the measurements")
    parser.add_argument("--brief", action="store_true", help="one round with a few questions: does it run?")
    arguments = parser.parse_args()
    rounds = 1 if arguments.brief else arguments.rounds
    measured = measure(rounds, arguments.brief, not arguments.commands_only)
    if arguments.json:
        arguments.json.write_text(json.dumps(measured, indent=1) + "\n")
    for name, value in measured.items():
        print(f"{name:30} {value if isinstance(value, str) else f'{value:.3f}':>8}  {LABELS.get(name, '')}".rstrip())


if __name__ == "__main__":
    main()
