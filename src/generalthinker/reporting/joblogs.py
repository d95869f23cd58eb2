"""What the log of a job tells: how far the job is, or how it ended: with an error, after a signal, without a word."""

import re
import statistics
from dataclasses import dataclass
from pathlib import Path

# Only the end of a log is read: a traceback of any usual length, for a log of any length.
TAIL_BYTES = 32_768
# A line of this project's own log, such as "12:58:06 generalthinker.training.history: step 59 of 60"
NORMAL = re.compile(r"^\d\d:\d\d:\d\d \S+: ")
STATED = re.compile(r"^error: ")
# The last line of a traceback, also of one process of several, and what the system or SLURM says of a killed process
RAISED = re.compile(
    r"^(\[\w+\]: ?)?([A-Za-z_]\w*\.)*[A-Z]\w*(Error|Exception|Interrupt|Exit)(: |$)"
    r"|^slurmstepd: error: |^Killed$|^Segmentation fault|^Bus error"
    r"|^\S+: .*(command not found|No such file or directory)$"
)
# What a launcher raises because a process of its own has failed: the process's own error says more.
OF_LAUNCHER = re.compile(r"(CalledProcessError|ChildFailedError)\b")
SIGNALLED = re.compile(r"\bSIG[A-Z0-9]+ at step \d+|^KeyboardInterrupt$")
LONGEST = 300
# What a training says of each step, and the progress bar of any other job
STEP = re.compile(r"step (\d+) of (\d+): .* ([\d.]+) s$")
BAR = re.compile(r"^([^:|]+): +\d+%\|.*\| (\d+)/(\d+) \[[\d:]+<([\d:]+|\?)")
LATEST_STEPS = 5


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a log: `error` is the line that tells what failed; `signalled` if a signal ended the job."""

    error: str = ""
    signalled: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` in the units of the log's last progress bar or step; `left` is seconds, as far as known."""

    what: str
    done: int
    total: int
    left: float | None


def progress(log: Path) -> Progress | None:
    """Return how far the job that writes `log` is; None if its log does not tell, as between two progress bars."""
    lines = (_tail(log) or "").replace("\r", "\n").split("\n")
    found = [match for line in lines if (match := STEP.search(line) or BAR.match(line))]
    if not found:
        return None
    last = found[-1]
    if last.re is STEP:
        seconds = [float(match[3]) for match in found if match.re is STEP][-LATEST_STEPS:]
        what, done, total = "step", int(last[1]), int(last[2])
        left: float | None = (total - done) * statistics.fmean(seconds)
    else:
        what, done, total, left = last[1].strip(), int(last[2]), int(last[3]), _seconds(last[4])
    return Progress(what, done, total, left) if done < total else None


def _seconds(clock: str) -> float | None:
    """Return the seconds of a progress bar's time, such as 1:02:03; None for its question mark."""
    if clock == "?":
        return None
    seconds = 0
    for part in clock.split(":"):
        seconds = 60 * seconds + int(part)
    return float(seconds)


def _tail(log: Path) -> str | None:
    """Return the end of `log`; None if it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return None


def ending(log: Path) -> Ending | None:
    """Return how the job that wrote `log` ended as far as its log tells; None if there is no log."""
    text = _tail(log)
    if text is None:
        return None
    # A progress bar rewrites its line after each carriage return.
    lines = [line.rpartition("\r")[2].rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    after = max((place + 1 for place, line in enumerate(lines) if NORMAL.match(line)), default=0)
    stated = [line for line in lines[after:] if STATED.match(line)]
    raised = [line for line in lines[after:] if RAISED.match(line)]
    raised = [line for line in raised if not OF_LAUNCHER.search(line)] or raised
    error = stated[-1] if stated else raised[-1] if raised else ""
    error = error if len(error) <= LONGEST else f"{error[:LONGEST]} …"
    return Ending(error, bool(SIGNALLED.search(error)))


def attempts(log: Path) -> int:
    """Return how many logs of single attempts, `<log>.<number>`, lie beside `log`."""
    try:
        return sum(path.suffix[1:].isdigit() for path in log.parent.glob(f"{log.name}.*"))
    except OSError:
        return 0
