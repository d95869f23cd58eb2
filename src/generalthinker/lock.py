"""One process per piece of work: a lock file with owner and heartbeat, for schedulers that may start a job twice.

A Snakemake killed with -9 leaves its SLURM jobs running and submits them again at the next start. The second job waits
here until the first has ended, and then finds its finished work. A lock file with a heartbeat works where file locking
does not (network file systems) and names its owner.
"""

import contextlib
import hashlib
import json
import logging
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from generalthinker.disk import naming_full_disk
from generalthinker.errors import StageError
from generalthinker.joblog import LOG_VARIABLE

HEARTBEAT_SECONDS = 15.0
STALE_AFTER_SECONDS = 120.0
LOOK_SECONDS = 2.0
TAKE_OVER_SECONDS = 5.0  # replacing a stale lock takes milliseconds; a process that needs longer was killed
TOKEN_VARIABLE = "GENERALTHINKER_LOCK_TOKEN"
logger = logging.getLogger(__name__)


class StoppedWaitingError(StageError, RuntimeError):
    """The user ended a process that waited for a lock."""


class FolderLock:
    """Hold `folder/lock` inside a `with`; waits while another live process holds it.

    A holder is live while its heartbeat is younger than two minutes; on the same host its process must also exist. A
    lock whose holder is dead is taken over. `token` adopts the lock that this process's parent took for it. Raises
    StoppedWaitingError on Ctrl-C while it waits.
    """

    def __init__(self, folder: str | Path, token: str | None = None) -> None:
        self.path = Path(folder) / "lock"
        self._owner = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process_start": _process_start(os.getpid()),
            "slurm_job": os.environ.get("SLURM_JOB_ID"),
            "log": os.environ.get(LOG_VARIABLE),
            "started": time.strftime("%Y-%m-%d %H:%M:%S"),
            "token": token or uuid.uuid4().hex,
        }
        self._text = json.dumps(self._owner)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        with naming_full_disk(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        # The lock file appears with its content, so it always names its owner, even if this process dies right here.
        claim = self.path.with_name(f".lock.{uuid.uuid4().hex}")
        said, owner = 0.0, None
        try:
            with naming_full_disk(self.path):
                claim.write_text(self._text)
            while (present := self._read()) != self._text:
                if present is None:
                    with contextlib.suppress(FileExistsError):
                        os.link(claim, self.path)
                    continue
                owner = _parsed(present)
                if owner.get("token") == self._owner["token"] or not self._alive(owner):
                    self._replace(present, claim)
                    continue
                if time.monotonic() - said > 600:
                    said = time.monotonic()
                    logger.info("%s", self._described(owner))
                time.sleep(LOOK_SECONDS)
        except KeyboardInterrupt:
            raise StoppedWaitingError(
                f"stopped while waiting: {self._holder(owner or {})}. It goes on, and nothing was changed"
            ) from None
        finally:
            claim.unlink(missing_ok=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._read() == self._text:
            self.path.unlink(missing_ok=True)

    def hand_over(self) -> None:
        """Stop the heartbeat and leave the lock to the process that is started with this environment."""
        self._stop.set()
        self._thread.join()
        os.environ[TOKEN_VARIABLE] = str(self._owner["token"])

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS) and self._read() == self._text:
            os.utime(self.path)

    def _read(self) -> str | None:
        try:
            return self.path.read_text()
        except FileNotFoundError:
            return None

    def _alive(self, owner: dict[str, Any]) -> bool:
        """Return whether the owner of the present lock still runs, as far as can be told from here."""
        if owner.get("host") == self._owner["host"] and not _exists(owner):
            return False
        with contextlib.suppress(FileNotFoundError):
            return time.time() - self.path.stat().st_mtime <= STALE_AFTER_SECONDS
        return True  # It has just been released: read it again.

    def _described(self, owner: dict[str, Any]) -> str:
        return (
            f"{self._holder(owner)}; waiting until it ends or has given no sign of life for {STALE_AFTER_SECONDS:.0f} s"
        )

    def _holder(self, owner: dict[str, Any]) -> str:
        job, log = owner.get("slurm_job"), owner.get("log")
        more = "".join([f" (SLURM job {job})" if job else "", f"; its log: {log}" if log else ""])
        return (
            f"{self.path.parent}: process {owner.get('pid')} on {owner.get('host')} works on it since "
            f"{owner.get('started')}{more}"
        )

    def _replace(self, stale: str, claim: Path) -> None:
        """Replace the lock that reads `stale` by `claim`, unless another process is doing just that."""
        turn = self.path.with_name(f".lock.after.{hashlib.sha256(stale.encode()).hexdigest()[:16]}")
        try:
            turn.touch(exist_ok=False)
        except FileExistsError:
            time.sleep(0.05)
            with contextlib.suppress(FileNotFoundError):
                if time.time() - turn.stat().st_mtime > TAKE_OVER_SECONDS:
                    turn.unlink()
            return
        # Another process may already have replaced the stale lock: read it again first.
        if self._read() == stale:
            claim.rename(self.path)
            os.utime(self.path)
            claim.write_text(self._text)  # for another round, if this lock is taken over in turn
        turn.unlink(missing_ok=True)


def is_held(folder: str | Path) -> bool:
    """Return whether a process with a recent heartbeat holds the lock of `folder`."""
    try:
        return time.time() - (Path(folder) / "lock").stat().st_mtime <= STALE_AFTER_SECONDS
    except OSError:
        return False


def holder(folder: str | Path) -> dict[str, Any] | None:
    """Return the owner of the live lock of `folder`, `{}` if it names none; None if no live process holds it."""
    path = Path(folder) / "lock"
    if not is_held(folder):
        return None
    try:
        owner = _parsed(path.read_text())
    except OSError:
        return None
    return None if owner.get("host") == socket.gethostname() and not _exists(owner) else owner


def waiting(folder: str | Path) -> list[dict[str, Any]]:
    """Return the processes that wait for the lock of `folder`, as far as they are not known to be dead.

    A process of another host that was killed while it waited cannot be told from one that waits.
    """
    try:
        held = (Path(folder) / "lock").read_text()
        texts = {path.read_text() for path in Path(folder).glob(".lock.*") if not path.name.startswith(".lock.after.")}
    except OSError:
        return []
    owners = [_parsed(text) for text in sorted(texts - {held})]
    return [owner for owner in owners if owner and (owner.get("host") != socket.gethostname() or _exists(owner))]


def _parsed(text: str) -> dict[str, Any]:
    try:
        owner = json.loads(text)
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _exists(owner: dict[str, Any]) -> bool:
    """Return whether the owner's process runs on this host; neither a zombie process nor a reused pid counts."""
    pid = owner.get("pid")
    try:
        os.kill(int(pid or 0), 0)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (ProcessLookupError, FileNotFoundError):
        return False
    except (OSError, ValueError):  # another user's process, or no /proc here
        return True
    known = owner.get("process_start")
    return fields[0] != "Z" and (known is None or fields[19] == known)


def _process_start(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None
