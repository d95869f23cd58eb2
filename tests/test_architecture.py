"""Which part of the package may import which, and which names a part may use: read from the source, nothing is run."""

import ast
import sys
from pathlib import Path

import pytest

from generalthinker.methods import FAMILIES

PACKAGE = Path(__file__).parent.parent / "src/generalthinker"
FOUNDATION = {
    *("errors", "records", "files", "paths", "prompts", "provenance", "sections", "metrics", "methods", "config"),
    *("code_versions", "decoding", "disk", "identity", "joblog", "keeping", "lock", "slurm", "vllm_environment"),
}
# package → what it may import of the project besides itself
ALLOWED = {
    "errors": set(),
    "records": set(),
    "disk": {"errors"},
    "files": {"disk"},
    "paths": set(),
    "decoding": set(),
    "prompts": set(),
    "provenance": set(),
    "sections": set(),
    "metrics": set(),
    "credit": set(),
    "answers": {"errors", "records", "files"},
    "rewards": {"records", "answers"},
    "methods": {"sections", "metrics", "records", "prompts", "rewards", "credit", "answers"},
    "config": {"errors", "records", "files", "sections", "metrics", "methods"},
    "code_versions": {"files", "methods"},
    "identity": {"code_versions", "config", "files", "paths", "provenance", "records"},
    "keeping": {"code_versions", "errors", "files", "identity", "provenance"},
    "joblog": {"provenance"},
    "lock": {"disk", "errors", "joblog"},
    "slurm": {"errors"},
    "vllm_environment": set(),
    "sweep": {"config", "errors", "lock", "paths", "slurm"},
    "inventory": {"code_versions", "config", "errors", "identity", "keeping", "reporting"},
    "data": FOUNDATION | {"answers"},
    "models": FOUNDATION | {"data"},
    "training": FOUNDATION | {"rewards", "answers", "generation"},
    "generation": FOUNDATION,
    "reporting": FOUNDATION,
    "publishing": FOUNDATION | {"reporting"},
}
FRAMEWORKS = {"torch", "transformers", "trl", "peft", "vllm", "accelerate", "datasets"}


def imports(file: Path) -> set[str]:
    """Return the dotted names that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def files_of(part: str) -> list[Path]:
    return [PACKAGE / f"{part}.py"] if (PACKAGE / f"{part}.py").exists() else sorted((PACKAGE / part).rglob("*.py"))


def test_every_part_is_listed():
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts - {"__init__", "cli"} == set(ALLOWED)


@pytest.mark.parametrize("part", ALLOWED)
def test_imports_point_one_way(part):
    for file in files_of(part):
        used = {name.split(".")[1] for name in imports(file) if name.startswith("generalthinker.")}
        assert used - {part, "__version__"} <= ALLOWED[part], f"{file.relative_to(PACKAGE)} imports {used}"


def test_credit_imports_torch_and_nothing_else():
    used = {name.split(".")[0] for file in files_of("credit") for name in imports(file)}
    assert used - {"generalthinker"} <= {"torch", "typing"}


@pytest.mark.parametrize("part", ["answers", "reporting"])
def test_answers_and_reporting_import_no_framework(part):
    for file in files_of(part):
        assert not {name.split(".")[0] for name in imports(file)} & FRAMEWORKS, file


def test_no_file_of_answers_has_the_name_of_a_standard_module():
    """Python starts answers/verify_worker.py as a script, so that its folder is searched before the library."""
    assert not {file.stem for file in files_of("answers")} & sys.stdlib_module_names


def words_of(file: Path) -> set[str]:
    """Return every identifier and every text in a Python file, imported modules and docstrings aside."""
    words = set()
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Name(id=word) | ast.Attribute(attr=word) | ast.arg(arg=word) | ast.keyword(arg=str(word)):
                words.add(word)
            case ast.alias(name=word) | ast.Constant(value=str(word)):
                words.add(word)
    return words


def names_of_methods() -> set[str]:
    """Return what belongs to one method family alone: its class, its settings, its marks and its runs' suffixes."""
    names = set()
    for family, method in FAMILIES.items():
        instance = method(family=family)
        names |= {method.__name__, *instance.marks, *(knob.suffix for knob in method.knobs().values())}
        names |= set(method.model_fields) - {"family"}
    return names


@pytest.mark.parametrize("part", ["training", "reporting", "generation", "publishing"])
def test_no_stage_names_a_method_or_a_knob(part):
    assert {"GeneralThinker", "modulation_strength", "AM", "strength", "reward_floor"} <= names_of_methods()
    for file in files_of(part):
        assert not words_of(file) & names_of_methods(), file
