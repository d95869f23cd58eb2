"""Read the files of a local mirror without guessing types: the text "007" stays "007"."""

import csv
import json
import sys
from pathlib import Path

import pyarrow.parquet as pq

from generalthinker.data import DataError
from generalthinker.data.sources import DatasetRow

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")


def read_rows(path: Path) -> list[DatasetRow]:
    """Return the rows of a JSON Lines, JSON (list of objects), CSV or Parquet file. Raises DataError if unreadable."""
    try:
        match path.suffix:
            case ".jsonl":
                # The lines of a binary file end at newlines only; a JSON string may contain other line separators.
                with path.open("rb") as file:
                    rows = [_object(line, number) for number, line in enumerate(file, start=1) if line.strip()]
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
        raise DataError(f"{path}: cannot be read: {error}; correct or replace the file") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: expected a list of objects, one per row; correct or replace the file")
    return rows


def _object(line: bytes, number: int) -> DatasetRow:
    """Return the JSON object in one line. Raises ValueError with the line's number if there is none."""
    try:
        row = json.loads(line.decode("utf-8"))
    except json.JSONDecodeError as error:
        # The decoder sees this line alone, so its own message would always say "line 1".
        raise ValueError(f"line {number}, column {error.colno}: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"line {number}: {error}") from error
    if not isinstance(row, dict):
        raise ValueError(f"line {number}: expected an object, found {type(row).__name__}")
    return row
