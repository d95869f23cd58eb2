"""Row files: written one per job, read as text, and joined into a table by their names."""

import csv
from dataclasses import replace
from pathlib import Path

from generalthinker.config.settings import Settings
from generalthinker.files import replacing
from generalthinker.paths import Layout
from generalthinker.reporting.display import Display
from generalthinker.reporting.families import families, read_differing
from generalthinker.reporting.measure import IncompleteResultsError
from generalthinker.reporting.tables import RowLines, TableRow, find_row, kind, rows


def write_row(settings: Settings, table: str, key: str, out: Path) -> None:
    """Write the row of `table` with this key: a line per cell, or the one line of a dataset.

    Raises UnknownRowError if there is no such row, IncompleteResultsError if a result that it needs is not there.
    """
    row = find_row(settings, table, key)
    lines = kind(settings, table).lines(settings, table, row)
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]) if lines else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def read_row(path: Path) -> RowLines:
    """Return the lines of a row file: column → text, empty text where nothing is written."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, restval=""))


def join_rows(settings: Settings, table: str, row_files: list[Path], partial: bool = False) -> Display:
    """Return `table` from its row files, in the order of the settings; the name of a file is the key of its row.

    Runs are marked as the table's file of differences says; with `partial` they are not marked where it does not exist.

    Raises IncompleteResultsError if a row has no file or a cell has no line; with `partial` such rows are left out.
    """
    files = {path.stem: path for path in row_files}
    contents: list[tuple[TableRow, RowLines]] = []
    for key, row in rows(settings, table).items():
        lines = read_row(files[key]) if key in files else []
        columns = {line.get("column") for line in lines}
        missing = [cell.key for cell in row.cells if cell.key not in columns]
        if lines and not missing:
            contents.append((row, lines))
        elif not partial:
            what = f"row {key!r} lacks the columns {missing} in {files[key]}" if lines else f"row {key!r} has no file"
            again = Layout(settings.results).row(table, key)
            raise IncompleteResultsError(f"{table}: {what}; run `snakemake --force {again}`")
    differences = Path(Layout(settings.results).differences(table, "csv"))
    differing = None
    if families(settings, table) and not (partial and not differences.exists()):
        if not differences.exists():
            raise IncompleteResultsError(f"{differences}: no such file; run `snakemake {differences}` first")
        differing = read_differing(differences)
    return kind(settings, table).display(settings, table, settings.tables[table], contents, differing)


def partial_rows(settings: Settings, table: str) -> tuple[Display, list[int]]:
    """Return `table` from the grades and manifests that exist, and how many cells of each row are missing.

    Row files are not read. A cell whose results are not all there is empty; title and notes say how many there are. No
    run is marked.
    """
    contents, missing, cells = [], [], 0
    for row in rows(settings, table).values():
        parts = [replace(row, cells=(cell,)) for cell in row.cells] or [row]
        lines = [line for part in parts for line in _lines_if_there(settings, table, part)]
        contents.append((row, lines))
        missing.append(len(parts) - len(lines))
        cells += len(parts)
    display = kind(settings, table).display(settings, table, settings.tables[table], contents)
    if not sum(missing):
        return replace(display, notes=(*display.notes, "No cell is missing.")), missing
    count = f"{sum(missing)} of {cells} cells are missing"
    notes = (*(display.notes or ("",)), f"PARTIAL: {count}, because their results do not exist yet.")
    return replace(display, title=f"PARTIAL, {count}: {display.title}", notes=notes), missing


def _lines_if_there(settings: Settings, table: str, row: TableRow) -> RowLines:
    try:
        lines = kind(settings, table).lines(settings, table, row)
    except (OSError, ValueError):  # also IncompleteResultsError, and a file that is damaged or being replaced
        return []
    return [{name: "" if value is None else str(value) for name, value in line.items()} for line in lines]
