"""Every benchmark runs: in its brief mode, in a process of its own, and prints its table. No time is asserted."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from generalthinker.methods import FAMILIES

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
TRAINED = [family for family, method in FAMILIES.items() if method.reward]
# benchmark → regular expressions that must match one line each of what it prints
LINES = {
    "grading_speed": [
        r"multiple choice: 100 responses, \d+ characters each, [\d.]+ s",
        r"mathematics: 100 responses, \d+ characters each, [\d.]+ s",
        r"(equal_text|equal_value|different) +\d+",
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
    "step_overhead": [
        r"tiny on .*: 8 completions of about 24 tokens",
        r"\| binary_rl \| [\d.]+ \| [\d.]+ \| 1\.00 \|",
        *(rf"\| {name} \| [\d.]+ \| [\d.]+ \| [\d.]+ \|" for name in [*TRAINED, "AM only"]),
    ],
}


def test_every_benchmark_is_listed():
    assert {path.stem for path in BENCHMARKS.glob("*.py")} == set(LINES)


@pytest.mark.parametrize("name", LINES)
def test_a_brief_run_prints_its_table(name, tmp_path):
    command = [sys.executable, BENCHMARKS / f"{name}.py", "--brief"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    printed = done.stdout.splitlines()
    for line in LINES[name]:
        assert any(re.fullmatch(line, one) for one in printed), f"{line}\nis not in\n{done.stdout}"
