"""Reading the files of a local mirror as they are: no type is guessed, so "007" stays "007"."""

import csv
import json
import sys
from pathlib import Path

import pyarrow.parquet as pq

from generalthinker.data import DataError
from generalthinker.data.sources import Row

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a JSON Lines, JSON (list of objects), CSV or Parquet file. Raises DataError if unreadable."""
    try:
        match path.suffix:
            case ".jsonl":
                # not splitlines: a JSON string may contain other line separators than the newline
                with path.open(encoding="utf-8") as file:
                    rows = [json.loads(line) for line in file if line.strip()]
            case ".json":
                rows = json.loads(path.read_text(encoding="utf-8"))
            case ".csv":
                csv.field_size_limit(sys.maxsize)
                with path.open(encoding="utf-8", newline="") as file:
                    rows = list(csv.DictReader(file))
            case ".parquet":
                rows = pq.read_table(path).to_pylist()
            case _:
                raise ValueError(f"unknown suffix; expected one of {', '.join(SUFFIXES)}")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}; replace the file") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: expected a list of objects, one per row")
    return rows
