"""Which code made a result: versions, and fingerprints that see code and neither comments nor layout."""

import shutil
from pathlib import Path
from typing import get_args

import pytest

from generalthinker import code_versions
from generalthinker.code_versions import FILES, current_record, differences, fingerprint, fingerprint_with_imports
from generalthinker.config.data import ModelSettings
from generalthinker.files import read_json


def test_the_recorded_fingerprints_are_those_of_the_code():
    """Fails when code that decides results has changed.

    Raise the component's version (in code_versions.json, or VERSION of a method) if any result changes. Then run
    `python -m generalthinker.code_versions`, which records the code's fingerprints beside the versions.
    """
    recorded = read_json(code_versions.RECORDED)
    for component, now in current_record().items():
        assert recorded.get(component) == now, f"{component}: {code_versions.files_of(component)}"


def test_every_version_is_plain_in_an_unchanged_clone():
    assert all(version.isdigit() for version in code_versions.all_code().values())


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package whose files may be edited; fingerprints are taken from it."""
    copy = tmp_path / "generalthinker"
    shutil.copytree(code_versions.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_versions, "PACKAGE", copy)
    fingerprint.cache_clear()
    yield copy
    fingerprint.cache_clear()


def edit(file: Path, old: str, new: str):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    fingerprint.cache_clear()


def test_comments_docstrings_and_layout_do_not_count_but_code_does(package):
    file = package / "credit/modulation.py"
    before = code_versions._versions(["credit"])
    assert before == {"credit": "1"}
    edit(file, '"""Advantage modulation', '"""Another docstring. Advantage modulation')
    edit(file, "STD_EPSILON = 1e-6", "STD_EPSILON   =   1e-6  # why\n")
    assert code_versions._versions(["credit"]) == before
    edit(file, "1e-6", "1e-5")
    [edited] = code_versions._versions(["credit"]).values()
    assert edited.startswith("1+")
    assert "credit 1, now 1+" in differences(before, {"credit": edited})


def test_a_method_of_a_family_includes_the_classes_it_derives_from(package):
    assert code_versions.files_of("method generalthinker") == [
        "methods/generalthinker.py",
        "methods/likelihood_rl.py",
        "methods/method.py",
    ]


def test_rows_follow_their_code_and_not_that_of_figures(package):
    modules = ("reporting/rows.py", "reporting/figures/dynamics.py", "answers/stage.py")
    before = {module: fingerprint_with_imports(module) for module in modules}
    edit(package / "reporting/figures/dynamics.py", "SMOOTH_FROM_STEPS = 30", "SMOOTH_FROM_STEPS = 31")
    after = {module: fingerprint_with_imports(module) for module in modules}
    assert [module for module in modules if before[module] != after[module]] == ["reporting/figures/dynamics.py"]
    edit(package / "reporting/statistics.py", "PLACES = 2", "PLACES = 3")
    assert fingerprint_with_imports("reporting/rows.py") != before["reporting/rows.py"]
    edit(package / "answers/choice.py", '"""', '"""More words. ')
    assert fingerprint_with_imports("answers/stage.py") == before["answers/stage.py"]


@pytest.mark.parametrize(
    ("module", "template"),
    [
        ("reporting/report.py", "reporting/report.html.j2"),
        ("reporting/responses.py", "reporting/responses.html.j2"),
        ("reporting/responses.py", "reporting/responses.js"),
        ("reporting/credit_viewer.py", "reporting/credit_viewer.html.j2"),
        ("publishing/folder.py", "publishing/card.md.j2"),
    ],
)
def test_pages_and_cards_follow_their_templates(package, module, template):
    before, rows = fingerprint_with_imports(module), fingerprint_with_imports("reporting/rows.py")
    edit(package / template, "\n", "\nanother line\n")
    assert fingerprint_with_imports(module) != before
    assert fingerprint_with_imports("reporting/rows.py") == rows


def test_every_file_of_a_component_exists():
    for files in FILES.values():
        for file in files:
            assert (code_versions.PACKAGE / file).exists(), file


def test_every_kind_of_model_that_is_built_here_has_code():
    kinds = {get_args(one.model_fields["kind"].annotation)[0] for one in get_args(get_args(ModelSettings)[0])}
    assert {*code_versions.OF_A_MODEL} == kinds - {"hub"}
    assert all(code_versions.code_of_model(kind) for kind in code_versions.OF_A_MODEL)
