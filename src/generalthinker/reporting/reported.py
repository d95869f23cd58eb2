"""The paper's printed values, by table, group, row and column as the paper's tables name them."""

import csv
from pathlib import Path

from generalthinker.config.settings import Settings
from generalthinker.reporting.tables import Cell, TableRow

Place = tuple[str, str, str, str]
COLUMNS = ("table", "group", "row", "column", "accuracy_percent")


def place_of(table: str, row: TableRow, cell: Cell) -> Place:
    """Return where the paper prints a cell: (table, group, row, column)."""
    return table, row.group or "", row.label, cell.key


def read_reported(settings: Settings) -> dict[Place, str]:
    """Return the paper's values in percent, as printed, by place; none if the settings name no such file.

    Raises FileNotFoundError if the settings name a file that does not exist, ValueError if it lacks a column.
    """
    if settings.reported_values is None:
        return {}
    path = Path(settings.reported_values)
    if not path.exists():
        raise FileNotFoundError(f"reported_values = {path}: no such file (relative to {Path.cwd()})")
    # Spreadsheet programs put a byte-order mark at the beginning; utf-8-sig drops it.
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, restval="")
        if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
            raise ValueError(f"{path}: columns {missing} are missing; expected {list(COLUMNS)}")
        return {
            (line["table"], line["group"], line["row"], line["column"]): line["accuracy_percent"] for line in reader
        }
