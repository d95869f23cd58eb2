import os
import re
import subprocess
import sys
from pathlib import Path

from generalthinker.config.data import MIRROR_VARIABLE

ROOT = Path(__file__).parents[1]


def test_rewrites_of_the_sample_references_are_right_and_their_mutants_wrong():
    """benchmarks/grading_rewrites.py on the repository's own rows; its docstring says how it reads the real ones."""
    printed = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "grading_rewrites.py", "--show", "20"],
        env={**os.environ, MIRROR_VARIABLE: str(ROOT / "tests" / "fixtures" / "mirror")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    counts = re.findall(r": (\d+) of (\d+)", printed)
    assert len(counts) == 4
    assert all(wrong == "0" and int(made) > 3 for wrong, made in counts), printed
