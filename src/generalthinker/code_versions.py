"""Which code made a result: a version per component, raised by its author whenever results change.

`code_versions.json` holds, for every component, the version and the fingerprint of the code that it stands for. Where
the code is another one (an edited clone), the version is followed by that code's own fingerprint, as in `1+3f9c01ab`:
results of edited code are never taken for results of the version. A test fails while the two differ.
"""

import ast
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from generalthinker.methods import FAMILIES, Method

PACKAGE = Path(__file__).parent
RECORDED = PACKAGE / "code_versions.json"
# component → the files (relative to the package) whose code decides results
FILES = {
    "prompts": ("prompts.py",),
    "answers": ("answers",),
    "rewards": ("rewards",),
    "credit": ("credit",),
    "training": (
        "decoding.py",
        "generation/vllm_engine.py",
        "training/colocated.py",
        "training/further_models.py",
        "training/lengths.py",
        "training/memory.py",
        "training/run.py",
        "training/scoring.py",
        "training/trainer.py",
        "training/validation.py",
    ),
    "generation": ("decoding.py", "generation"),
    "pretraining": ("models/tiny.py", "models/warm_up.py", "data/synthetic.py"),
    "verifier": ("models/verifier.py",),
    "random": ("models/random_qwen.py", "models/qwen_vocabulary.py", "models/warm_up.py", "data/synthetic.py"),
    "package": ("models/package.py", "models/gguf.py", "models/lessons.py", "models/warm_up.py", "data/synthetic.py"),
}
OF_A_RUN = ("prompts", "answers", "rewards", "credit", "training")
OF_A_GENERATION = ("prompts", "generation")
# by `kind`
OF_A_MODEL = {
    "tiny": ("prompts", "pretraining"),
    "tiny_verifier": ("prompts", "pretraining", "verifier"),
    "package": ("prompts", "package"),
    "random": ("prompts", "random"),
}

Code = dict[str, str]  # component → version


def code_of_run(method: Method) -> Code:
    """Return the versions of the code that trains a run of `method`."""
    family = f"method {method.family}"
    return {**_versions(OF_A_RUN), family: _version(family, method.VERSION, _files_of_method(type(method)))}


def code_of_generation() -> Code:
    """Return the versions of the code that generates responses."""
    return _versions(OF_A_GENERATION)


def code_of_model(kind: str) -> Code:
    """Return the versions of the code that builds a model of this `kind`."""
    return _versions(OF_A_MODEL[kind])


def all_code() -> Code:
    """Return the versions of all code that decides results."""
    return _versions(components())


def differences(made_by: Code, now: Code) -> str:
    """Return in words how two codes differ, with the files; empty where they are the same."""
    parts = []
    for component in dict.fromkeys([*made_by, *now]):
        before, current = made_by.get(component, "none"), now.get(component, "none")
        if before != current:
            files = " and ".join(files_of(component)) if component in components() else "unknown files"
            parts.append(f"{component} {before}, now {current} in {files}")
    return ", ".join(parts)


def components() -> dict[str, int]:
    """Return component → the version that the code states."""
    stated = {component: int(_recorded().get(component, {}).get("version", 1)) for component in FILES}
    return stated | {f"method {family}": kind.VERSION for family, kind in FAMILIES.items()}


def files_of(component: str) -> list[str]:
    """Return the files of a component, relative to the package."""
    if component in FILES:
        return [*FILES[component]]
    return _files_of_method(FAMILIES[component.removeprefix("method ")])


@cache
def fingerprint(files: tuple[str, ...]) -> str:
    """Return a short hash of what the code in `files` does, without comments, docstrings and layout."""
    digest = hashlib.sha256()
    for path in _expanded(files):
        text = path.read_text(encoding="utf-8")
        digest.update(f"{path.relative_to(PACKAGE)}\n{_parsed(text)[0] if path.suffix == '.py' else text}\n".encode())
    return digest.hexdigest()[:8]


@cache
def _parsed(code: str) -> tuple[str, list[ast.ImportFrom]]:
    """Return the code of a file without comments, docstrings and layout, and its `from … import …` statements.

    The result is cached because every call of Snakemake needs the same files several times.
    """
    tree = ast.parse(code)
    imports = []
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.ImportFrom):
            imports.append(node)
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and body:
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = body[1:]
    return ast.dump(tree), imports


def fingerprint_with_imports(module: str) -> str:
    """Return the fingerprint of `module` (as in "reporting/rows.py") and all it uses of its own package.

    That is what it imports, and the templates and scripts that are named there.
    """
    package = module.partition("/")[0]
    templates = [path for path in (PACKAGE / package).iterdir() if path.suffix in (".j2", ".js")]
    pending, seen = [module], set()
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        text = (PACKAGE / current).read_text(encoding="utf-8")
        pending += [f"{package}/{template.name}" for template in templates if template.name in text]
        if not current.endswith(".py"):
            continue
        for node in _parsed(text)[1]:
            if (node.module or "").startswith(f"generalthinker.{package}"):
                base = (node.module or "").removeprefix("generalthinker.").replace(".", "/")
                candidates = [base, *(f"{base}/{alias.name}" for alias in node.names)]
                pending += [
                    name
                    for candidate in candidates
                    for name in (f"{candidate}.py", f"{candidate}/__init__.py")
                    if (PACKAGE / name).is_file()
                ]
    return fingerprint(tuple(sorted(seen)))


def current_record() -> dict[str, dict[str, Any]]:
    """Return what `code_versions.json` should hold for this code."""
    return {
        component: {"version": version, "fingerprint": fingerprint(tuple(files_of(component)))}
        for component, version in components().items()
    }


def _versions(names: Iterable[str]) -> Code:
    stated = components()
    return {component: _version(component, stated[component], files_of(component)) for component in names}


def _version(component: str, stated: int, files: list[str]) -> str:
    now = {"version": stated, "fingerprint": fingerprint(tuple(files))}
    return str(stated) if _recorded().get(component) == now else f"{stated}+{now['fingerprint']}"


def _files_of_method(method: type[Method]) -> list[str]:
    """Return the files of a method's class and of the classes it derives from, relative to the package."""
    modules = [kind.__module__ for kind in method.__mro__ if issubclass(kind, Method)]
    own = [module for module in modules if module.startswith("generalthinker.")]
    return [f"{module.removeprefix('generalthinker.').replace('.', '/')}.py" for module in own]


@cache
def _recorded() -> dict[str, dict[str, Any]]:
    return json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}


def _expanded(files: tuple[str, ...]) -> list[Path]:
    paths = [PACKAGE / file for file in files]
    return sorted({found for path in paths for found in (path.rglob("*.py") if path.is_dir() else [path])})


if __name__ == "__main__":
    from generalthinker.files import write_json

    write_json(RECORDED, current_record())
