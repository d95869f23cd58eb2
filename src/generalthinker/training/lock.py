"""One training per run folder: a lock with owner and heartbeat, for schedulers that may start a job twice.

A Snakemake killed hard leaves its SLURM jobs running and submits them again at the next start. A lock file with a
heartbeat works where file locking does not (network file systems) and tells who holds it.
"""

import contextlib
import hashlib
import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from generalthinker.errors import StageError

HEARTBEAT_SECONDS = 15.0
STALE_AFTER_SECONDS = 120.0
TURN_SECONDS = 5.0  # taking over needs milliseconds; who has not finished by now was killed at it


class RunLockedError(StageError, RuntimeError):
    """Another process is training this run."""


class RunLock:
    """Hold `folder/lock` while training; raises RunLockedError if a live process holds it.

    A holder is live while its heartbeat is younger than two minutes; on the same host its process must also exist.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / "lock"
        self._owner = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "slurm_job": os.environ.get("SLURM_JOB_ID"),
            "started": time.strftime("%Y-%m-%d %H:%M:%S"),
            "token": uuid.uuid4().hex,
        }
        self._text = json.dumps(self._owner)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Linked into place, so that a lock always tells its owner, even if this process dies right here.
        claim = self.path.with_name(f".lock.{self._owner['token']}")
        claim.write_text(self._text)
        try:
            while self._read() != self._text:
                try:
                    os.link(claim, self.path)
                except FileExistsError:
                    self._take_over_if_dead(claim)
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

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS) and self._read() == self._text:
            os.utime(self.path)

    def _read(self) -> str | None:
        try:
            return self.path.read_text()
        except FileNotFoundError:
            return None

    def _take_over_if_dead(self, claim: Path) -> None:
        """Put `claim` in a dead owner's place; raise RunLockedError if the owner lives."""
        try:
            age = time.time() - self.path.stat().st_mtime
            text = self.path.read_text()
        except FileNotFoundError:
            return
        try:
            owner = json.loads(text)
        except ValueError:
            owner = {}
        same_host = owner.get("host") == self._owner["host"]
        if (same_host and not _exists(owner.get("pid"))) or age > STALE_AFTER_SECONDS:
            self._replace(text, claim)
            return
        raise RunLockedError(
            f"{self.path.parent} is being trained by process {owner.get('pid')} on {owner.get('host')}"
            f" (SLURM job {owner.get('slurm_job')}, since {owner.get('started')}, last sign of life {age:.0f} s ago).\n"
            f"Wait for it, or cancel it (scancel {owner.get('slurm_job') or '<job>'}) and start again;"
            f" a lock without a sign of life for {STALE_AFTER_SECONDS:.0f} s is taken over by itself."
        )

    def _replace(self, dead: str, claim: Path) -> None:
        """Replace the lock that reads `dead` by `claim`, unless another starter is doing just that."""
        turn = self.path.with_name(f".lock.after.{hashlib.sha256(dead.encode()).hexdigest()[:16]}")
        try:
            turn.touch(exist_ok=False)
        except FileExistsError:
            time.sleep(0.05)
            with contextlib.suppress(FileNotFoundError):
                if time.time() - turn.stat().st_mtime > TURN_SECONDS:
                    turn.unlink()
            return
        # Who looked at the dead lock before it was replaced may get a turn afterwards: look again.
        if self._read() == dead:
            claim.rename(self.path)
            os.utime(self.path)
        turn.unlink(missing_ok=True)


def _exists(pid: int | None) -> bool:
    """Tell whether a process of this host lives; one that has ended but that nobody has asked about does not."""
    try:
        os.kill(int(pid or 0), 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:  # another user's process, or no /proc here
        return True
