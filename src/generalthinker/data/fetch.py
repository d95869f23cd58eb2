"""Where rows come from: the synthetic generator, a local mirror, or the Hugging Face hub."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from generalthinker.config.data import SourceSettings
from generalthinker.data import DataError, hub, synthetic
from generalthinker.data.rowfiles import SUFFIXES, read_rows
from generalthinker.data.sources import Row

MIRROR_VARIABLE = "GENERALTHINKER_DATA_MIRROR"


@dataclass(frozen=True, slots=True)
class Fetched:
    """The rows of one split, where they came from, and on the hub from which commit."""

    rows: Sequence[Row]
    origin: Literal["hub", "mirror", "synthetic"]
    commit: str | None = None


def describe(source: SourceSettings) -> str:
    """Return the dataset with everything that pins it, for messages."""
    parts = [f"subset {source.subset}"] if source.subset else []
    parts += [f"split {source.split}"] + ([f"revision {source.revision}"] if source.revision else [])
    return f"{source.dataset} ({', '.join(parts)})"


def fetch(source: SourceSettings, mirror: str | None, seed: int) -> Fetched:
    """Return the rows of `source`: generated if it is synthetic, else from the mirror if it is there, else the hub.

    `mirror` None means the environment variable GENERALTHINKER_DATA_MIRROR; `seed` is for synthetic rows only. Where
    rows of several subsets are read (`subset: null`), each row has its subset's name under "subset". Raises DataError
    if the dataset cannot be had, or has another number of rows than `source.rows`, and NoAccessError
    (a DataError) if it is gated and may not be read here.
    """
    if source.dataset == "synthetic":
        if source.rows is None:
            raise DataError(f"{describe(source)}: set `rows`, how many questions to generate")
        try:
            return Fetched(synthetic.rows(source.subset, source.split, source.rows, seed), "synthetic")
        except ValueError as error:
            raise DataError(f"{describe(source)}: {error}") from None
    if files := _mirror_files(source, mirror):
        rows: Sequence[Row] = _tagged({subset: read_rows(path) for subset, path in files.items()})
        fetched, place = Fetched(rows, "mirror"), ", ".join(map(str, files.values()))
    else:
        fetched, place = _from_hub(source, mirror), hub.of_source(source).page
    if source.rows is not None and len(fetched.rows) != source.rows:
        raise DataError(
            f"{describe(source)}: expected {source.rows:,} rows, found {len(fetched.rows):,} in {place}. If the "
            "revision is the wanted one, the file is incomplete or of another version; if another revision is meant, "
            "set `revision` and `rows` together."
        )
    return fetched


def mirrored(source: SourceSettings, mirror: str | None) -> bool:
    """Return whether `fetch` would read `source` from the local mirror."""
    return bool(_mirror_files(source, mirror))


def _mirror_folder(mirror: str | None) -> str | None:
    return mirror or os.environ.get(MIRROR_VARIABLE) or None


def _mirror_files(source: SourceSettings, mirror: str | None) -> dict[str | None, Path]:
    """Return subset → file; empty if the mirror lacks the split. The key None stands for a split without subsets."""
    mirror = _mirror_folder(mirror)
    if mirror is None:
        return {}
    root = Path(mirror) / source.dataset
    for folder in ([root / source.subset] if source.subset else []) + [root]:
        if found := _split_file(folder, source.split):
            return {None: found}
    if source.subset or not root.is_dir():
        return {}
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir())
    return {folder.name: found for folder in folders if (found := _split_file(folder, source.split))}


def _split_file(folder: Path, split: str) -> Path | None:
    return next((path for suffix in SUFFIXES if (path := folder / f"{split}{suffix}").is_file()), None)


def _from_hub(source: SourceSettings, mirror: str | None) -> Fetched:
    import datasets

    try:
        # the snapshot and not the hub's id: `datasets` offline takes any revision that it finds in its own cache
        folder = hub.snapshot(hub.of_source(source))
        subsets: list[str | None] = [source.subset]
        if source.subset is None:
            names = datasets.get_dataset_config_names(str(folder))
            subsets = [None] if len(names) <= 1 or "default" in names else sorted(names)
        splits = {subset: datasets.load_dataset(str(folder), subset, split=source.split) for subset in subsets}
    except hub.NoAccessError as error:
        raise hub.NoAccessError(_unavailable(source, mirror, error)) from error
    except Exception as error:  # every network and layout error of the libraries means the same here: no rows
        raise DataError(_unavailable(source, mirror, error)) from error
    rows = next(iter(splits.values())) if len(splits) == 1 else _tagged(splits)
    return Fetched(rows, "hub", folder.name)


def _tagged(splits: dict) -> Sequence[Row]:
    """Return the rows of all subsets in order, each with its subset's name if it has one."""
    return [{**row, "subset": subset} if subset else row for subset, rows in splits.items() for row in rows]


def _unavailable(source: SourceSettings, mirror: str | None, error: Exception) -> str:
    inner = f"{source.subset}/" if source.subset else ""
    wanted = f"{source.dataset}/{inner}{source.split}{{{','.join(SUFFIXES)}}}"
    folder = _mirror_folder(mirror)
    looked = f"local mirror {folder}: no {wanted} in it (nor without the subset's folder)"
    hub_says = error if isinstance(error, DataError) else f"{type(error).__name__}: {error}\nWhat to do:"
    return "\n".join(
        [
            f"{describe(source)}: no rows",
            f"  {looked if folder else 'local mirror: none is set'}",
            f"  hub: {hub_says}",
            f"  - or lay a copy out as <mirror>/{wanted} and set `mirror: <mirror>` in the configuration, or "
            f"{MIRROR_VARIABLE}=<mirror>",
        ]
    )
