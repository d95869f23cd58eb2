import json
from pathlib import Path

import datasets
import huggingface_hub
import pandas as pd
import pytest

from generalthinker.config.data import SourceSettings
from generalthinker.data import DataError
from generalthinker.data.fetch import MIRROR_VARIABLE, fetch

MIRROR = str(Path(__file__).parent / "fixtures/mirror")
REVISION = "e53f048856ff4f594e959d75785d2c2d37b678ee"


def source(**changes):
    settings = {"adapter": "gsm8k", "dataset": "openai/gsm8k", "subset": "main", "revision": REVISION} | changes
    return SourceSettings(**settings)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Every request to the hub fails at once, as on a machine without a network."""

    def unreachable(*args, **kwargs):
        raise ConnectionError("no network here")

    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)


def test_rows_come_from_the_mirror():
    fetched = fetch(source(rows=2), MIRROR, 1)
    assert (fetched.origin, len(fetched.rows)) == ("mirror", 2)
    assert fetched.rows[1]["answer"].endswith("#### 2,500")


def test_the_environment_variable_names_the_mirror(monkeypatch):
    monkeypatch.setenv(MIRROR_VARIABLE, MIRROR)
    assert fetch(source(rows=2), None, 1).origin == "mirror"


ROWS = [{"question": "a, b\u2028c", "answer": "#### 007"}, {"question": "d", "answer": "#### 1"}]


def _write(path, suffix):
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS), encoding="utf-8")
    elif suffix == ".json":
        path.write_text(json.dumps(ROWS), encoding="utf-8")
    elif suffix == ".csv":
        pd.DataFrame(ROWS).to_csv(path, index=False)
    else:
        pd.DataFrame(ROWS).to_parquet(path, index=False)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
@pytest.mark.parametrize("folder", ["openai/gsm8k/main", "openai/gsm8k"])
def test_every_format_with_and_without_the_subsets_folder(tmp_path, suffix, folder):
    (tmp_path / folder).mkdir(parents=True)
    _write(tmp_path / folder / f"test{suffix}", suffix)
    assert list(fetch(source(rows=2), str(tmp_path), 1).rows) == ROWS


def test_no_subset_means_all_subsets_and_rows_say_which():
    redux = source(adapter="mmlu_redux", dataset="edinburgh-dawg/mmlu-redux-2.0", subset=None, rows=2)
    assert [row["subset"] for row in fetch(redux, MIRROR, 1).rows] == ["anatomy", "virology"]


def test_another_row_count_stops_with_dataset_both_counts_and_revision():
    with pytest.raises(DataError, match=rf"openai/gsm8k.*{REVISION}.*1,319.*2 in "):
        fetch(source(rows=1319), MIRROR, 1)


def test_a_missing_dataset_says_what_where_and_what_to_do(tmp_path):
    gated = source(adapter="gpqa", dataset="Idavidrein/gpqa", subset="gpqa_main", split="train", rows=448, gated=True)
    with pytest.raises(DataError) as caught:
        fetch(gated, str(tmp_path), 1)
    message = str(caught.value)
    for part in (
        "Idavidrein/gpqa",
        "gpqa_main",
        REVISION,
        str(tmp_path),
        "no network here",
        "https://huggingface.co/datasets/Idavidrein/gpqa",
        "HF_TOKEN",
        MIRROR_VARIABLE,
    ):
        assert part in message
    with pytest.raises(DataError) as caught:
        fetch(source(rows=1319), None, 1)
    assert "HF_TOKEN" not in str(caught.value)
    assert "none is set" in str(caught.value)


@pytest.fixture
def snapshot(monkeypatch, tmp_path):
    """Let the hub's snapshot be a folder named by its commit; return what was asked for."""
    asked = []

    def snapshot_download(repository, *, repo_type, revision, allow_patterns, local_files_only):
        asked.append((repository, repo_type, revision, allow_patterns))
        return str(tmp_path / "a1b2c3")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def test_the_hub_is_asked_for_the_pinned_revision(monkeypatch, snapshot):
    read = []

    def load_dataset(folder, subset, *, split):
        read.append((Path(folder).name, subset, split))
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    fetched = fetch(source(rows=2), None, 1)
    assert (fetched.origin, fetched.commit, list(fetched.rows)) == ("hub", "a1b2c3", ROWS)
    assert snapshot == [("openai/gsm8k", "dataset", REVISION, None)]
    assert read == [("a1b2c3", "main", "test")]


@pytest.mark.parametrize(
    ("configurations", "expected"), [(["default"], [None]), (["b", "a"], ["a", "b"]), (["default", "x"], [None])]
)
def test_hub_subsets_when_none_is_configured(monkeypatch, snapshot, configurations, expected):
    asked = []

    def load_dataset(folder, subset, *, split):
        asked.append(subset)
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda folder: configurations)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    fetched = fetch(source(subset=None), None, 1)
    assert asked == expected
    assert [row.get("subset") for row in fetched.rows] == [subset for subset in expected for _ in ROWS]


def test_synthetic_rows_are_generated():
    settings = source(adapter="synthetic", dataset="synthetic", subset="sum", revision=None, rows=5)
    fetched = fetch(settings, None, 1)
    assert (fetched.origin, len(fetched.rows)) == ("synthetic", 5)
    assert fetch(settings, None, 1).rows == fetched.rows
    with pytest.raises(DataError, match="rows"):
        fetch(settings.model_copy(update={"rows": None}), None, 1)
    with pytest.raises(DataError, match="no-such-task"):
        fetch(settings.model_copy(update={"subset": "no-such-task"}), None, 1)


@pytest.mark.parametrize(
    ("third", "message"),
    [
        ('{"question": "Whi', "line 4, column 14: Unterminated string"),
        ('{"question": "Whi\N{EM DASH}'.encode()[:-1], "line 4: .*unexpected end of data"),
        ('["question"]', "line 4: expected an object, found list"),
    ],
)
def test_a_broken_mirror_file_is_named_with_the_line(tmp_path, third, message):
    (tmp_path / "openai/gsm8k").mkdir(parents=True)
    third = third if isinstance(third, bytes) else third.encode()
    good = [json.dumps(row, ensure_ascii=False).encode() for row in ROWS]
    (tmp_path / "openai/gsm8k/test.jsonl").write_bytes(b"\n".join([good[0], b"", good[1], third]))
    with pytest.raises(DataError, match=rf"test\.jsonl: cannot be read: {message}"):
        fetch(source(), str(tmp_path), 1)


def test_only_the_hub_needs_a_revision():
    assert fetch(source(rows=2, revision=None), MIRROR, 1).origin == "mirror"
    with pytest.raises(DataError, match=r"(?s)openai/gsm8k: `revision` is missing.*save a copy as"):
        fetch(source(rows=2, revision=None), None, 1)
