"""Stages without a model start quickly: importing them loads no framework, neither directly nor indirectly."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from generalthinker.config.load import freeze, load
from generalthinker.data.benchmark import build_benchmark
from generalthinker.files import read_parquet, write_parquet
from generalthinker.paths import Layout
from test_architecture import FRAMEWORKS

DEMO = Path(__file__).parent.parent / "config/demo.yaml"
# Most jobs of a workflow write a row or a table: their processes should take no longer than they must.
UNUSED = FRAMEWORKS | {"pandas", "matplotlib", "scipy", "sympy"}


@pytest.mark.parametrize(
    "module",
    [f"reporting.{name}" for name in ("cells", "report", "responses", "figures", "status", "plan")]
    + ["answers", "config", "methods", "publishing.upload"],
)
def test_light_modules_load_no_framework_indirectly(module):
    code = f"import sys, generalthinker.{module}; print(sorted({FRAMEWORKS!r} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.fixture
def graded(tmp_path):
    """Frozen settings of the demo with the results that one row of Table 1 needs."""
    settings = load([DEMO]).model_copy(update={"results": str(tmp_path / "results")})
    layout = Layout(settings.results)
    build_benchmark(settings, "Toy-Sum", Path(layout.benchmark("Toy-Sum")), Path(layout.benchmark_manifest("Toy-Sum")))
    ids = read_parquet(layout.benchmark("Toy-Sum"))[0]["id"]
    grades = pd.DataFrame({"benchmark": "Toy-Sum", "id": ids, "correct": True, "reason": "", "truncated": False})
    for choice in settings.tables["table1"].choices.values():
        [run] = settings.runs(choice)
        write_parquet(layout.grades(run.name, "toys"), grades)
    return freeze(settings)


@pytest.mark.parametrize(
    ("command", "unused"),
    [
        (["row", "table1", "Toy-Sum"], UNUSED),
        (["table", "table7"], UNUSED | {"pyarrow", "numpy"}),
        (["status"], UNUSED),
    ],
)
def test_commands_of_rows_tables_and_status_import_nothing_that_they_do_not_use(graded, command, unused):
    code = (
        f"import sys; sys.argv[1:] = {[*command, '--settings', str(graded)]!r}\n"
        "from generalthinker.cli import app\napp(standalone_mode=False)\n"
        f"print(sorted({unused!r} & set(sys.modules)))"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert printed.splitlines()[-1] == "[]"
