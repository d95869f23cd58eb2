"""math-verify in a process of its own, which is killed if a comparison takes longer than the time limit.

math-verify's own time limit uses signals: it works only in the main thread and cannot stop a long computation inside
one C call. A process can be killed from any thread. It ends with its parent, because its input is then closed.
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
    """The comparison exceeded the time limit."""


class ComparisonFailedError(Exception):
    """The comparison raised an error, or its process ended."""


class _Worker:
    """One process that compares expressions; only one thread uses it at a time."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER)],
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
            raise ComparisonFailedError("the process that compares the expressions ended")
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
    """The idle workers; a thread takes one for a comparison, so there are at most as many workers as threads."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._idle: list[_Worker] = []

    def equal(self, reference: str, given: str, limit: float) -> bool:
        if self._owner != os.getpid():  # after a fork, the workers belong to the parent process
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


@atexit.register
def close() -> None:
    """End the idle processes; the next comparison starts a new one."""
    _pool.close()


@contextmanager
def one_limit() -> Iterator[None]:
    """Give all comparisons that this thread makes inside the block one common time limit: those of one answer."""
    _answer.deadline = time.monotonic() + TIME_LIMIT
    try:
        yield
    finally:
        del _answer.deadline


@lru_cache(maxsize=50_000)
def equal(reference: str, given: str) -> bool:
    """Return math-verify's verdict on two LaTeX expressions within TIME_LIMIT seconds; any thread may call it.

    Raises ComparisonTimeoutError if the limit is exceeded, and ComparisonFailedError after an error or a crash.
    """
    limit = getattr(_answer, "deadline", time.monotonic() + TIME_LIMIT) - time.monotonic()
    if limit <= 0:
        raise ComparisonTimeoutError
    return _pool.equal(reference, given, limit)
