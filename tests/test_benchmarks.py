"""Every benchmark runs: in its brief mode, in a process of its own, and prints its table. No time is asserted."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from generalthinker.config.data import MIRROR_VARIABLE

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
# benchmark → regular expressions that must match one line each of what it prints
LINES = {
    "bench": [
        r"\| step_vs_trl \| [\d.]+ \|.*",
        r"written to .*bench.json",
    ],
    "bfloat16": [
        r"32 responses, [1-9]\d* with a box after reasoning, [1-9]\d* prefix tokens",
        r"\| bfloat16 \| [1-9]\.\de-0\d \|.*\|",
        r"gradients of two halves of the groups: .*",
    ],
    "credit_worlds": [
        rf"\| {world} \|( [\d.]+ \([\d.]+–[\d.]+\) \|){{6}}"
        for world in (
            r"every given answer is right \(the demo\)",
            "half of the given answers are wrong",
            "the same, and half of all other solutions are wrong, too",
        )
    ],
    "grading_ablation": [r" +\d+ +\d+ +\d+  symbols keep their case", r" +\d+ +\d+ +\d+  units"],
    "grading_rewrites": [
        r"minerva: rewrites graded as wrong: 0 of [1-9]\d*, \{\}",
        r"olympiadbench: rewrites graded as wrong: 0 of [1-9]\d*, \{\}",
        r"minerva: mutants graded as right: 0 of [1-9]\d*, \{\}",
        r"olympiadbench: mutants graded as right: 0 of [1-9]\d*, \{\}",
    ],
    "grading_speed": [
        r"multiple choice: 100 responses, \d+ characters each, [\d.]+ s",
        r"mathematics: 100 responses, \d+ characters each, [\d.]+ s",
        r"(equal_text|equal_value|different) +\d+",
    ],
    "growth": [
        r"\| limit of a response \(tokens\) \| (16|32) \|( [\d.]+ s \|){3}",
        r"\| (8|16) \|( [\d.]+ s \|){3}",
    ],
    "likelihood_span": [
        r"64 responses: [\d.]+% with reasoning and a closed box, [\d.]+% truncated, [\d.]+ tokens on average",
        r"\| `\}` \| [1-9]\d* \|",
        r"\| `answer` \| -[\d.]+ \| 0.0% \|",
        r"\| `answer_and_brace` \| -[\d.]+ \| [\d.]+% \|",
        r"\| `answer`, `answer_and_any_brace` \| [\d.]+ \| [\d.]+% \| [\d.]+ \| [\d.]+% \|",
    ],
    "merge_drift": [
        r" +step +δ / W +drift / δ +engine sees +engine error",
        r" +1( +[\d.e-]+){4}",
        r" +10( +[\d.e-]+){4}",
    ],
    "mixture": [
        r"MATH: 120 rows read, \d+ survive, .*",
        r"CrossThink: 1,880 rows read, [\d,]+ survive, .*",
        r"400 \+ 40 written from 2,000 rows \(hub\) in .*",
    ],
    "prompt_lengths": [r"\| (GSM8K|MMLU-Pro) \| 2 \| 0 \| 0\.0 \| \d+ \| \d+ \| \d+ \|"],
    "responses": [
        r"4,620 responses of 14 runs",
        r"index and examples: [\d.]+ s, at most [\d.]+ GiB",
        r"responses\.html: 0\.\d MB",
        r"13 pages: \d+\.\d MB, the largest \d\.\d MB",
    ],
    "rollout_engine": [
        r"\d+ tokens of 4 responses on .*",
        *(
            rf"\| {way} \|( -?[\d.]+ ± [\d.]+ \(-?[\d.]+\) \|){{2}}( [\d.e+-]+ ± [\d.e+-]+ \|){{3}} [\d,]+ \|"
            for way in ("merged", "stochastic", "native")
        ),
        r"\| trainer \|( -?[\d.]+ ± [\d.]+ \|){2}( [\d.e+-]+ ± [\d.e+-]+ \|){3} – \|",
    ],
    "pipeline_speed": [
        *(
            rf"{name} +[\d.]+  .*"
            for name in ("evaluate_vs_bare_vllm", "grade_vs_generate", "plan_seconds", "noop_seconds", "status_seconds")
        ),
        r"import_seconds +[\d.]+  .*",
        r"import_heavy +none  .*",
        r"row_heavy +numpy pyarrow  .*",
    ],
    "status_speed": [r"[\d.]+ s \(best of 3\), \d+ lines for 18 runs"],
    "training_step": [
        r"brief on .*: 8 responses of [\d.]+ tokens on average \(limit 48\), prompts of .*; attention: .*",
        *(
            rf"\| {name}( \| [\d.]+){{9}} \|"
            for name in ["Binary-RL, stock TRL", "Binary-RL", "Likelihood-RL", "GeneralThinker(, straightforward)?"]
        ),
        r"step_vs_trl [\d.]+, step_vs_straightforward .*",
    ],
}


def test_every_benchmark_is_listed():
    assert {path.stem for path in BENCHMARKS.glob("*.py")} == set(LINES)


def mark(name):
    """Return a benchmark with the marker and the condition under which it runs."""
    absent = name == "rollout_engine" and importlib.util.find_spec("vllm") is None
    return pytest.param(name, marks=pytest.mark.skipif(absent, reason="vLLM is not installed"))


@pytest.mark.benchmark
@pytest.mark.parametrize("name", [mark(name) for name in LINES])
def test_a_brief_run_prints_its_table(name, tmp_path):
    command = [sys.executable, BENCHMARKS / f"{name}.py", "--brief"]
    environment = dict(os.environ)
    if name in (
        "grading_ablation",
        "grading_rewrites",
        "prompt_lengths",
    ):  # they read real rows; here the few that the repository has
        environment[MIRROR_VARIABLE] = str(BENCHMARKS.parent / "tests/fixtures/mirror")
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    printed = done.stdout.splitlines()
    for line in LINES[name]:
        assert any(re.fullmatch(line, one) for one in printed), f"{line}\nis not in\n{done.stdout}"


@pytest.mark.skipif(not os.environ.get(MIRROR_VARIABLE), reason=f"set {MIRROR_VARIABLE} to a folder with real files")
def test_the_documented_prompt_lengths_are_those_of_the_real_files():
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "prompt_lengths.py"], capture_output=True, text=True, check=True
    )
    documented = (BENCHMARKS.parent / "docs/protocol.md").read_text()
    names = ("MATH-500", "GSM8K", "AMC23", "MMLU-Pro")
    lines = [line for line in done.stdout.splitlines() if line.startswith(tuple(f"| {name} " for name in names))]
    assert lines
    assert [line for line in lines if line not in documented] == []
