"""Files appear whole or not at all."""

import importlib.util
import os
import shutil
import subprocess

import pandas as pd
import pytest

from generalthinker import provenance
from generalthinker.files import read_json, read_parquet, replacing, write_json, write_parquet, write_text
from generalthinker.provenance import commit, file_hash, versions


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    write_text(tmp_path / "a.txt", "old")

    def fail():
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_is_replaced_whole(tmp_path):
    for content in ("first", "second"):
        with replacing(tmp_path / "model") as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["second"]


def test_parquet_carries_its_metadata(tmp_path):
    frame = pd.DataFrame({"id": ["a", "b"], "options": [["x", "y"], None]})
    write_parquet(tmp_path / "q.parquet", frame, {"benchmark": "β"})
    read, metadata = read_parquet(tmp_path / "q.parquet")
    assert metadata == {"benchmark": "β"}
    assert list(read["id"]) == ["a", "b"]
    assert list(read["options"][0]) == ["x", "y"]
    assert read["options"][1] is None


def test_the_same_content_is_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_parquet(tmp_path / name, pd.DataFrame({"x": [1.5, 2.5]}), {"k": 1})
    assert file_hash(tmp_path / "a") == file_hash(tmp_path / "b")


def test_json_round_trips(tmp_path):
    write_json(tmp_path / "a.json", {"τ": [2.0, None]})
    assert read_json(tmp_path / "a.json") == {"τ": [2.0, None]}


def test_provenance_names_what_can_change_a_result():
    assert {"python", "generalthinker", "torch", "trl", "transformers"} <= set(versions())
    assert commit() == "unknown" or len(commit().removesuffix("+changes")) == 40


def test_files_that_a_writer_made_private_are_readable_by_others(tmp_path):
    with replacing(tmp_path / "folder") as temporary:
        temporary.mkdir()
        (temporary / "weights").write_text("x")
        (temporary / "weights").chmod(0o600)
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "folder/weights").stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Return (root, commit of its code now) of a throw-away repository that holds provenance.py as its package."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    package = tmp_path / "src/generalthinker"
    package.mkdir(parents=True)
    shutil.copy(provenance.__file__, package / "provenance.py")
    (tmp_path / ".gitignore").write_text("__pycache__/\n/results/\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for command in (["init", "--quiet"], ["add", "."], [*identity, "commit", "--quiet", "-m", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=tmp_path, text=True).strip()

    def now() -> str:
        spec = importlib.util.spec_from_file_location("throwaway", package / "provenance.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.commit()

    assert now() == head
    return tmp_path, head, now


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize(
    ("file", "mark"),
    [
        ("src/generalthinker/methods/mine.py", "+changes"),  # new and not added
        ("src/generalthinker/provenance.py", "+changes"),  # edited
        (".gitignore", "+changes"),
        ("notes.txt", ""),  # new, beside the package
        ("results/table1.csv", ""),
        ("src/generalthinker/__pycache__/a.pyc", ""),
    ],
)
def test_the_commit_says_whether_the_code_was_changed(checkout, file, mark):
    root, head, now = checkout
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    with (root / file).open("a") as out:
        out.write("# mine\n")
    assert now() == head + mark
