"""The walls of the house: imports point one way, and light stages stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src/generalthinker"
FOUNDATION = {"errors", "records", "files", "paths", "prompts", "provenance", "config"}
# package → what it may import of the project besides itself
ALLOWED = {
    "errors": set(),
    "records": set(),
    "files": set(),
    "paths": set(),
    "prompts": set(),
    "provenance": set(),
    "config": {"errors", "records", "files"},
    "credit": set(),
    "answers": {"errors", "records", "files"},
    "rewards": {"records", "answers"},
    "data": FOUNDATION | {"answers"},
    "models": FOUNDATION | {"data"},
    "training": FOUNDATION | {"credit", "rewards", "answers"},
    "generation": FOUNDATION,
    "reporting": FOUNDATION,
}
FRAMEWORKS = {"torch", "transformers", "trl", "peft", "vllm", "accelerate", "datasets"}


def imports(file: Path) -> set[str]:
    """Return the dotted names that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def files_of(part: str) -> list[Path]:
    return [PACKAGE / f"{part}.py"] if (PACKAGE / f"{part}.py").exists() else sorted((PACKAGE / part).rglob("*.py"))


def test_every_part_has_its_place():
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts - {"__init__", "cli"} == set(ALLOWED)


@pytest.mark.parametrize("part", ALLOWED)
def test_imports_point_one_way(part):
    for file in files_of(part):
        used = {name.split(".")[1] for name in imports(file) if name.startswith("generalthinker.")}
        assert used - {part, "__version__"} <= ALLOWED[part], f"{file.relative_to(PACKAGE)} imports {used}"


def test_credit_knows_torch_and_nothing_else():
    used = {name.split(".")[0] for file in files_of("credit") for name in imports(file)}
    assert used - {"generalthinker"} <= {"torch", "typing"}


@pytest.mark.parametrize("part", ["answers", "reporting"])
def test_answers_and_reporting_import_no_framework(part):
    for file in files_of(part):
        assert not {name.split(".")[0] for name in imports(file)} & FRAMEWORKS, file


@pytest.mark.parametrize(
    "module", ["reporting.cells", "reporting.composition", "reporting.tables", "reporting.figures", "answers", "config"]
)
def test_light_modules_load_no_framework_indirectly(module):
    code = f"import sys, generalthinker.{module}; print(sorted({FRAMEWORKS!r} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
