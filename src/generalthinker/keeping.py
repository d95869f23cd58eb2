"""Finished work is kept under its identity, in `<results>/kept/`, where Snakemake deletes nothing.

Snakemake deletes a job's declared outputs before the job starts, also where another job has just finished them. So the
finished files are kept here first and then linked to where the outputs are expected; a job that is started again finds
them and links them back. Snakemake's own `cache:` cannot do this: it needs outputs with one common name, is filled only
under a running Snakemake with `--cache`, and neither lists what it holds nor tells which code made it.
"""

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from generalthinker.code_versions import Code, differences
from generalthinker.errors import StageError
from generalthinker.files import make_readable, read_json, replacing, write_json
from generalthinker.identity import Identity
from generalthinker.provenance import file_hash

logger = logging.getLogger(__name__)
RECORD = "kept.json"
# What to do with work of other code: stop and ask, use it, or leave it and start over.
OtherCode = Literal["ask", "use", "redo"]


class OtherCodeError(StageError, RuntimeError):
    """There is work with the same settings and inputs that other code made."""

    def __init__(self, identity: Identity, made_by: Code, state: str) -> None:
        super().__init__(
            f"{identity.label}: with the same settings and inputs, this {state}.\n"
            f"The code differs in: {differences(made_by, identity.code)}.\n"
            "To use that work all the same, add --other-code use (or set GENERALTHINKER_OTHER_CODE=use, which a "
            "Snakemake session hands to its jobs); to leave it and start over, --other-code redo."
        )


@dataclass(frozen=True)
class KeptResult:
    """One finished result: its folder in the store and the record of what made it."""

    folder: Path
    record: dict[str, Any]

    @property
    def code(self) -> Code:
        """The versions of the code that made it."""
        return self.record["code"]

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(size for size, _ in self.record["files"].values())

    @property
    def label(self) -> str:
        """The name under which it was made."""
        return f"{self.record['kind']}/{self.record['label']}"


class Store:
    """The kept results of one results folder."""

    def __init__(self, results: str | Path) -> None:
        self.root = Path(results) / "kept"

    def find(self, identity: Identity) -> KeptResult | None:
        """Return the kept result of exactly this identity, its files unchanged; None if there is none."""
        folder = self._folder(identity)
        kept = _read(folder)
        if kept is None:
            return None
        for name, (size, digest) in kept.record["files"].items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != size or file_hash(path) != digest:
                logger.warning("%s is not used: %s is missing or has changed since it was kept", folder, name)
                return None
        return kept

    def find_or_ask(self, identity: Identity, other_code: OtherCode) -> KeptResult | None:
        """Return the kept result of `identity`, or with "use" the newest that other code made; None if there is none.

        Raises OtherCodeError where only other code made this result and `other_code` is "ask".
        """
        kept, others = self.find(identity), self.of_other_code(identity)
        if kept is None and others and other_code != "redo":
            if other_code == "ask":
                raise OtherCodeError(identity, others[0].code, f"was made by other code ({others[0].folder})")
            logger.info(
                "%s: using what other code made: %s", identity.label, differences(others[0].code, identity.code)
            )
            return others[0]
        return kept

    def of_other_code(self, identity: Identity) -> list[KeptResult]:
        """Return the kept results of the same settings and inputs that other code made, the newest first."""
        others = [kept for kept in self.all(identity.kind) if kept.record["key"] == identity.key]
        others = [kept for kept in others if kept.folder != self._folder(identity)]
        return sorted(others, key=lambda kept: kept.record["kept_at"], reverse=True)

    def all(self, kind: str = "*") -> list[KeptResult]:
        """Return everything that is kept, of one kind or of all."""
        # A folder whose name begins with a dot is being written, or its writer was killed.
        folders = sorted(path.parent for path in self.root.glob(f"{kind}/[!.]*/{RECORD}"))
        return [kept for folder in folders if (kept := _read(folder)) is not None]

    @contextmanager
    def keeping(self, identity: Identity) -> Iterator[Path]:
        """Yield an empty folder for the finished files; on success it is kept under `identity`."""
        with replacing(self._folder(identity)) as folder:
            folder.mkdir(parents=True)
            yield folder
            make_readable(folder)
            files = {
                str(path.relative_to(folder)): (path.stat().st_size, file_hash(path))
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            }
            write_json(
                folder / RECORD,
                {
                    "kind": identity.kind,
                    "label": identity.label,
                    "key": identity.key,
                    "deciding": identity.deciding,
                    "code": identity.code,
                    "files": files,
                    "kept_at": time.strftime("%Y-%m-%d %H:%M:%S"),
                },
            )

    def put_back(self, kept: KeptResult, targets: dict[str, str | Path]) -> None:
        """Link files or folders of a kept result to where they are expected; the last target appears last."""
        for name, target in targets.items():
            source = kept.folder / name
            with replacing(target) as temporary:
                link(source, temporary)

    def delete(self, kept: KeptResult) -> None:
        """Delete one kept result; what was linked from it elsewhere stays."""
        shutil.rmtree(kept.folder)

    def _folder(self, identity: Identity) -> Path:
        return self.root / identity.kind / identity.hash


def _read(folder: Path) -> KeptResult | None:
    try:
        return KeptResult(folder, read_json(folder / RECORD))
    except (OSError, ValueError):
        return None


def link(source: str | Path, target: str | Path) -> None:
    """Make `target` the same file as `source`, or a folder of the same files; copy where hard links do not exist."""
    if Path(source).is_dir():
        shutil.copytree(source, target, copy_function=_link_file)
    else:
        _link_file(source, target)


def _link_file(source: str | Path, target: str | Path) -> str | Path:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
