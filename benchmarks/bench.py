"""All speed measurements that have a target, in one command (`make bench`): a table, and results/bench.json.

    python benchmarks/bench.py [--out results/bench.json] [--brief]

training_step.py compares a training step with stock TRL's. pipeline_speed.py, which needs vLLM, compares the evaluation
with bare vLLM and times the commands. Each ratio is ours over the other within one run, except for throughput.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TARGETS = {
    "step_vs_trl": "≤ 0.40",
    "step_vs_straightforward": "≤ 0.30",
    "binary_vs_trl": "≤ 0.28",
    "memory_vs_trl": "≤ 1.0",
    "demo_step_vs_straightforward": "≤ 0.8",
    "evaluate_vs_bare_vllm": "≥ 0.95",
    "grade_vs_generate": "≤ 0.05",
    "plan_seconds": "< 3",
    "noop_seconds": "< 5",
    "status_seconds": "< 1",
    "import_seconds": "< 1",
}


def run(script: str, *options: str) -> dict[str, Any]:
    """Run a benchmark in a process of its own, with its output shown, and return what it wrote as JSON."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # several threads that wait for each other disturb ratios
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "measured.json"
        command = [sys.executable, str(HERE / script), "--json", str(file), *options]
        subprocess.run(command, check=True, env=environment)
        return json.loads(file.read_text())


def main() -> None:
    """Measure everything, print the targets' table and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/bench.json"))
    parser.add_argument("--brief", action="store_true", help="the training step of the smallest model: does it run?")
    arguments = parser.parse_args()
    measured = run("training_step.py", *(["--brief"] if arguments.brief else []))
    if find_spec("vllm") is None:
        print("vLLM is not installed: the evaluation and the commands are not measured")
    elif not arguments.brief:
        measured |= run("pipeline_speed.py")
    print("\n| measured | value | target |\n|---|---|---|")
    for name, target in TARGETS.items():
        if name in measured:
            print(f"| {name} | {measured[name]:.3g} | {target} |")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(measured, indent=1) + "\n")
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
