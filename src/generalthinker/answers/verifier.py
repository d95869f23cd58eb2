"""math-verify with a time limit that always holds: it runs in a process of its own, which is killed when late.

math-verify's own limit needs signals (main thread only) and cannot stop a long computation inside one C call. A
process can be killed from any thread, and dies with its parent because its input ends.
"""

import atexit
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

WORKER = Path(__file__).with_name("verify_worker.py")
TIME_LIMIT = 5.0
START_LIMIT = 120.0


class ComparisonTimeoutError(Exception):
    """The comparison was killed."""


class ComparisonFailedError(Exception):
    """The comparison raised an error, or its process died."""


class _Worker:
    """One process, started again after it had to be killed; used by one thread at a time."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER)],  # -P: this folder's math.py is not Python's
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env=environment,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self._receive(START_LIMIT)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _receive(self, limit: float) -> bool | str:
        try:
            line = self._lines.get(timeout=limit)
        except queue.Empty:
            self.kill()
            raise ComparisonTimeoutError from None
        if not line:
            self.kill()
            raise ComparisonFailedError("the comparing process ended")
        return json.loads(line)

    def equal(self, reference: str, given: str, limit: float) -> bool:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps([reference, given]) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            self.kill()
            raise ComparisonFailedError(str(error)) from None
        verdict = self._receive(limit)
        if isinstance(verdict, str):
            raise ComparisonFailedError(verdict)
        return verdict

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class _Pool:
    """Idle workers of this process; each thread that compares borrows one, so there are as many as threads at once."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._idle: list[_Worker] = []

    def equal(self, reference: str, given: str, limit: float) -> bool:
        if self._owner != os.getpid():  # after a fork the workers belong to the parent
            self._owner, self._idle = os.getpid(), []
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = _Worker()
        try:
            return worker.equal(reference, given, limit)
        finally:
            if worker.alive:
                self._idle.append(worker)

    def close(self) -> None:
        while self._owner == os.getpid() and self._idle:
            self._idle.pop().kill()


_pool = _Pool()
_answer = threading.local()
atexit.register(_pool.close)


@contextmanager
def one_limit() -> Iterator[None]:
    """Let all comparisons of one answer, which this thread makes inside the block, share one time limit."""
    _answer.deadline = time.monotonic() + TIME_LIMIT
    try:
        yield
    finally:
        del _answer.deadline


@lru_cache(maxsize=50_000)
def equal(reference: str, given: str) -> bool:
    """Return math-verify's verdict on two LaTeX expressions, from any thread, within TIME_LIMIT seconds.

    Raises ComparisonTimeoutError (the process is killed) or ComparisonFailedError.
    """
    limit = getattr(_answer, "deadline", time.monotonic() + TIME_LIMIT) - time.monotonic()
    if limit <= 0:
        raise ComparisonTimeoutError
    return _pool.equal(reference, given, limit)
