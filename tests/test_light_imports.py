"""Stages without a model start quickly: importing them loads no framework, neither directly nor indirectly."""

import subprocess
import sys

import pytest

from test_architecture import FRAMEWORKS


@pytest.mark.parametrize(
    "module",
    [f"reporting.{name}" for name in ("cells", "report", "figures", "status", "plan")]
    + ["answers", "config", "methods"],
)
def test_light_modules_load_no_framework_indirectly(module):
    code = f"import sys, generalthinker.{module}; print(sorted({FRAMEWORKS!r} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
