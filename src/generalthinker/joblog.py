"""One log file per attempt of a job; the declared log is a link to the newest.

Snakemake deletes the declared log before a job starts, and a scheduler may start a job a second time while the first
still runs. A file per attempt keeps what every one of them said.
"""

import os
import re
import socket
import sys
import time
import uuid
from pathlib import Path

from generalthinker.provenance import commit

LOG_VARIABLE = "GENERALTHINKER_LOG"  # tells the processes that a job starts where its log is


def open_attempt(log: str | Path) -> Path:
    """Send this process's output to `<log>.<n>`, the next free n, make `log` a link to it, and return it."""
    log = Path(log)
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and not log.is_symlink():
        log.rename(_claim(log))  # written without this module; a process may still write to it
    attempt = _claim(log)
    job = os.environ.get("SLURM_JOB_ID")
    try:
        attempt.write_text(
            f"== attempt {_number(log, attempt)}, {time.strftime('%Y-%m-%d %H:%M:%S')}, host {socket.gethostname()}, "
            f"process {os.getpid()}{f', SLURM job {job}' if job else ''}, commit {commit()}\n"
        )
    except OSError:
        attempt.unlink()
        raise
    newest = log.with_name(f".{log.name}.{uuid.uuid4().hex}")
    newest.symlink_to(attempt.name)
    newest.replace(log)
    os.environ[LOG_VARIABLE] = str(attempt)
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(attempt, os.O_WRONLY | os.O_APPEND)
    for number in (1, 2):
        os.dup2(file, number)
    os.close(file)
    return attempt


def _claim(log: Path) -> Path:
    """Create the next attempt's file and return it; of several processes, each gets its own."""
    while True:
        numbers = [_number(log, path) for path in log.parent.glob(f"{_escaped(log.name)}.*")]
        attempt = log.with_name(f"{log.name}.{max(numbers, default=0) + 1}")
        try:
            attempt.touch(exist_ok=False)
        except FileExistsError:
            continue
        return attempt


def _number(log: Path, attempt: Path) -> int:
    text = attempt.name.removeprefix(f"{log.name}.")
    return int(text) if text.isdecimal() else 0


def _escaped(name: str) -> str:
    """Return `name` for use in a glob pattern."""
    return re.sub(r"([*?\[])", r"[\1]", name)
