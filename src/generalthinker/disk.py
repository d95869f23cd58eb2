"""Disks that are full and results that cannot be written: found before the work, or named in one message after it."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from generalthinker.errors import StageError

# safetensors and pyarrow raise errors of their own that quote the system; torch reports only where its writing ended.
FULL = ("No space left on device", "Disk quota exceeded", "(os error 28)", "(os error 122)")
INSTEAD = "set `results` in the configuration to a folder that you can write"
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
TORCH_WRITER, CUT_OFF = "inline_container.cc", ("unexpected pos", "file write failed")


class DiskFullError(StageError, RuntimeError):
    """A file could not be written because its disk is full."""

    def __init__(self, path: str | Path) -> None:
        path = Path(path).absolute()
        super().__init__(
            f"no space left on device: {path} could not be written; {_free(path)}. Delete what is not needed "
            "(`generalthinker kept` lists the finished results and their sizes), then start the same command again: it "
            "continues"
        )


class UnwritableError(StageError, RuntimeError):
    """The results folder cannot be written."""


@contextmanager
def naming_full_disk(path: str | Path) -> Iterator[None]:
    """Raise DiskFullError, which names `path`, where the block fails because a disk is full."""
    try:
        yield
    except Exception as error:
        if is_full(error):
            raise DiskFullError(path) from error
        raise


def is_full(error: BaseException) -> bool:
    """Return whether `error` or one of its causes says that a disk or a quota is full."""
    return any(_says_full(cause) for cause in _causes(error))


def described(error: BaseException) -> str | None:
    """Return what the user can do about an error of a disk that no stage has named; None for any other error."""
    if isinstance(error, OSError) and error.errno in DENIED and error.filename:
        return f"{error.filename}: {(error.strerror or 'permission denied').lower()}"
    if not is_full(error):
        return None
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, DiskFullError):
            return str(cause)
        if isinstance(cause, OSError) and cause.filename:
            return str(DiskFullError(cause.filename))
    places = "\n".join(f"  {place}: {_free(place)}" for place in (Path.cwd(), Path(tempfile.gettempdir()), Path.home()))
    return (
        f"no space left on device, in a file that the error does not name ({causes[0]}). Free space on the full disk, "
        f"then start the same command again:\n{places}"
    )


def require_folder(results: str | Path) -> Path:
    """Return `results` or its nearest parent that exists. Raises UnwritableError if no folder can stand there."""
    folder = Path(results).absolute()
    for parent in (folder, *folder.parents):
        if parent.is_symlink() and not parent.exists():
            raise UnwritableError(
                f"results = {results}: {parent} is a link to {parent.readlink()}, which does not exist; {INSTEAD}"
            )
        if parent.exists():
            break
    if not parent.is_dir():
        raise UnwritableError(
            f"results = {results}: expected a folder, but {parent} is a file; move it away, or {INSTEAD}"
        )
    return parent


def require_writable(results: str | Path) -> None:
    """Raise UnwritableError if no file can be written to the folder `results`, which need not exist yet."""
    folder = require_folder(results)
    problem = None if os.access(folder, os.W_OK | os.X_OK) else "permission denied"
    if folder == Path(results).absolute():
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            if is_full(error):
                raise DiskFullError(folder) from error
            problem = (error.strerror or str(error)).lower()
    if problem:
        raise UnwritableError(f"results = {results}: {folder} cannot be written ({problem}); {INSTEAD}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _says_full(error: BaseException) -> bool:
    if isinstance(error, DiskFullError) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return True
    text = str(error)
    return any(words in text for words in FULL) or (TORCH_WRITER in text and any(words in text for words in CUT_OFF))


def _free(path: Path) -> str:
    """Return in words what is free on the disk of `path`."""
    try:
        existing = next(parent for parent in (path, *path.parents) if parent.exists())
        disk = os.statvfs(existing)
    except (OSError, StopIteration):
        return "how much is free there cannot be read"
    if disk.f_files and not disk.f_favail:
        return "its disk has no room for another file (no free inodes)"
    free = disk.f_bavail * disk.f_frsize
    return f"{free / 1e9:.1f} GB are free there" if free >= 1e9 else f"{free / 1e6:.1f} MB are free there"
