"""One training per run folder: a lock with owner and heartbeat, for schedulers that may start a job twice.

A Snakemake killed hard leaves its SLURM jobs running and submits them again at the next start. A lock file with a
heartbeat works where file locking does not (network file systems) and tells who holds it.
"""

import json
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

HEARTBEAT_SECONDS = 15.0
STALE_AFTER_SECONDS = 120.0


class RunLockedError(RuntimeError):
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
        }
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:
                self._clear_if_dead()
                continue
            with os.fdopen(descriptor, "w") as file:
                json.dump(self._owner, file)
            self._thread.start()
            return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            os.utime(self.path)

    def _clear_if_dead(self) -> None:
        """Remove a dead owner's lock; raise RunLockedError if the owner lives."""
        try:
            age = time.time() - self.path.stat().st_mtime
            owner = json.loads(self.path.read_text() or "{}")
        except FileNotFoundError:
            return
        except ValueError:
            owner = {}
        same_host = owner.get("host") == self._owner["host"]
        gone = same_host and not Path(f"/proc/{owner.get('pid')}").exists()
        if gone or age > STALE_AFTER_SECONDS:
            self.path.unlink(missing_ok=True)
            return
        raise RunLockedError(
            f"{self.path.parent} is being trained by process {owner.get('pid')} on {owner.get('host')}"
            f" (SLURM job {owner.get('slurm_job')}, since {owner.get('started')}, last sign of life {age:.0f} s ago).\n"
            f"Wait for it, or cancel it (scancel {owner.get('slurm_job') or '<job>'}) and start again;"
            f" a lock without a sign of life for {STALE_AFTER_SECONDS:.0f} s is taken over by itself."
        )
