"""Fetch the rows of a dataset from the synthetic generator, a local mirror or the Hugging Face hub."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from generalthinker.config.data import MIRROR_VARIABLE, SourceSettings, mirror_folder
from generalthinker.data import DataError, hub, synthetic
from generalthinker.data.rowfiles import SUFFIXES, read_rows
from generalthinker.data.sources import DatasetRow


@dataclass(frozen=True, slots=True)
class Fetched:
    """The rows of one split, where they come from, and the commit if they come from the hub."""

    rows: Sequence[DatasetRow]
    origin: Literal["hub", "mirror", "synthetic"]
    commit: str | None = None


def describe(source: SourceSettings) -> str:
    """Return the dataset with its subset, split and revision, for messages."""
    parts = [f"subset {source.subset}"] if source.subset else []
    parts += [f"split {source.split}"] + ([f"revision {source.revision}"] if source.revision else [])
    return f"{source.dataset} ({', '.join(parts)})"


def fetch(source: SourceSettings, mirror: str | None, seed: int) -> Fetched:
    """Return the rows of `source`, which are generated if it is synthetic, else read from the mirror or the hub.

    The hub is used only if the mirror lacks the split. If `mirror` is None, the environment variable
    GENERALTHINKER_DATA_MIRROR names the mirror; only synthetic rows use `seed`. If the rows of several subsets are read
    (`subset: null`), each row has its subset's name under "subset". Raises DataError if the dataset cannot be read or
    the number of its rows is not `source.rows`, and NoAccessError (a DataError) if it is gated and access is missing.
    """
    if source.dataset == "synthetic":
        if source.rows is None:
            raise DataError(f"{describe(source)}: `rows` is missing; set it to the number of questions to generate")
        try:
            return Fetched(synthetic.rows(source.subset, source.split, source.rows, seed), "synthetic")
        except ValueError as error:
            raise DataError(f"{describe(source)}: {error}") from None
    if files := mirror_files(source, mirror):
        rows: Sequence[DatasetRow] = _tagged({subset: read_rows(path) for subset, path in files.items()})
        fetched, place = Fetched(rows, "mirror"), ", ".join(map(str, files.values()))
    else:
        fetched, place = _from_hub(source, mirror), hub.of_source(source).page
    if source.rows is not None and len(fetched.rows) != source.rows:
        raise DataError(
            f"{describe(source)}: expected {source.rows:,} rows, found {len(fetched.rows):,} in {place}. If "
            "`revision` is the one you want, the file is incomplete or belongs to another version; if you want another "
            "revision, change `revision` and `rows` together."
        )
    return fetched


def mirrored(source: SourceSettings, mirror: str | None) -> bool:
    """Return whether `fetch` would read `source` from the local mirror."""
    return bool(mirror_files(source, mirror))


def mirror_files(source: SourceSettings, mirror: str | None) -> dict[str | None, Path]:
    """Return the file of each subset (None: the split has no subsets); the result is empty if the mirror lacks them."""
    mirror = mirror_folder(mirror)
    if mirror is None:
        return {}
    root = Path(mirror) / source.dataset
    for folder in ([root / source.subset] if source.subset else []) + [root]:
        if file := _split_file(folder, source.split):
            return {None: file}
    if source.subset or not root.is_dir():
        return {}
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir())
    return {folder.name: file for folder in folders if (file := _split_file(folder, source.split))}


def _split_file(folder: Path, split: str) -> Path | None:
    return next((path for suffix in SUFFIXES if (path := folder / f"{split}{suffix}").is_file()), None)


def _from_hub(source: SourceSettings, mirror: str | None) -> Fetched:
    import datasets

    try:
        # The folder is loaded and not the hub's id, because `datasets` accepts other revisions when it is offline.
        folder = hub.snapshot(hub.of_source(source))
        subsets: list[str | None] = [source.subset]
        if source.subset is None:
            names = datasets.get_dataset_config_names(str(folder))
            subsets = [None] if len(names) <= 1 or "default" in names else sorted(names)
        splits = {subset: datasets.load_dataset(str(folder), subset, split=source.split) for subset in subsets}
    except hub.NoAccessError as error:
        raise hub.NoAccessError(_unavailable(source, mirror, error)) from error
    except Exception as error:  # whatever error the libraries raise, the rows cannot be read
        raise DataError(_unavailable(source, mirror, error)) from error
    rows = next(iter(splits.values())) if len(splits) == 1 else _tagged(splits)
    return Fetched(rows, "hub", folder.name)


def _tagged(splits: dict) -> Sequence[DatasetRow]:
    """Return the rows of all subsets in order, each with its subset's name if it has one."""
    return [{**row, "subset": subset} if subset else row for subset, rows in splits.items() for row in rows]


def _unavailable(source: SourceSettings, mirror: str | None, error: Exception) -> str:
    inner = f"{source.subset}/" if source.subset else ""
    wanted = f"{source.dataset}/{inner}{source.split}{{{','.join(SUFFIXES)}}}"
    folder = mirror_folder(mirror)
    elsewhere = f" and no {source.dataset}/{source.split}{{{','.join(SUFFIXES)}}}" if source.subset else ""
    looked = f"local mirror {folder}: it has no {wanted}{elsewhere}"
    hub_says = error if isinstance(error, DataError) else f"{type(error).__name__}: {error}\nWhat to do:"
    return "\n".join(
        [
            f"{describe(source)}: the rows cannot be read",
            f"  {looked if folder else 'local mirror: none is set'}",
            f"  hub: {hub_says}",
            f"  - or save a copy as <mirror>/{wanted} and set `mirror: <mirror>` in the configuration, or the "
            f"environment variable {MIRROR_VARIABLE}=<mirror>",
        ]
    )
