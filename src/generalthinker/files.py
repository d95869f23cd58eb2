"""Files that appear whole or not at all: everything is written under a temporary name and renamed into place."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generalthinker.disk import naming_full_disk

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

METADATA_KEY = b"generalthinker"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success rename it to `path`, on any error remove it.

    Works for files and for folders (the caller creates whichever it wants under the yielded name). Raises DiskFullError
    where the disk is full.
    """
    target = Path(path)
    with naming_full_disk(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(target) as temporary:
            yield temporary
            make_readable(temporary)
            if target.is_dir():
                shutil.rmtree(target)
            temporary.replace(target)


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """Yield a path beside `target`, and remove what lies there in the end."""
    # The suffix stays last: writers such as matplotlib choose the format by it.
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.tmp{target.suffix}")
    try:
        yield temporary
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def make_readable(path: Path) -> None:
    """Give a file, or all files of a folder, the permissions of a newly written file: some writers use mode 0600."""
    mask = os.umask(0)
    os.umask(mask)
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file() and not file.is_symlink() and file.stat().st_nlink == 1:
            file.chmod(0o666 & ~mask)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` by rename."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` to `path` as indented, key-ordered JSON, by rename."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Return the JSON value in `path`."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_parquet(path: str | Path, frame: "pd.DataFrame", metadata: dict[str, Any] | None = None) -> None:
    """Write `frame` to `path` by rename, with `metadata` (JSON-able) inside the file's schema: the two never part."""
    # pyarrow and pandas are imported where they are used: commands that do not need them start faster.
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    encoded = json.dumps(metadata or {}, sort_keys=True, ensure_ascii=False).encode()
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), METADATA_KEY: encoded})
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def read_parquet_metadata(path: str | Path) -> dict[str, Any]:
    """Return the metadata that `write_parquet` wrote to `path`, without reading its rows."""
    import pyarrow.parquet as pq

    return json.loads((pq.read_schema(path).metadata or {}).get(METADATA_KEY, b"{}"))


def read_parquet(path: str | Path) -> tuple["pd.DataFrame", dict[str, Any]]:
    """Return the frame and the metadata that `write_parquet` wrote to `path`."""
    table, metadata = _read_table(path)
    return table.to_pandas(), metadata


def read_columns(path: str | Path, names: list[str]) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Return some columns as lists of Python values, and the metadata; unlike `read_parquet` without pandas."""
    table, metadata = _read_table(path, names)
    return table.to_pydict(), metadata


def _read_table(path: str | Path, columns: list[str] | None = None) -> tuple["pa.Table", dict[str, Any]]:
    import pyarrow.parquet as pq

    # Not pq.read_table: it imports pandas.
    with pq.ParquetFile(path) as file:
        table = file.read(columns)
    return table, json.loads((table.schema.metadata or {}).get(METADATA_KEY, b"{}"))
