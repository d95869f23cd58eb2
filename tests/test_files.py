"""Files appear whole or not at all."""

import os

import pandas as pd
import pytest

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
