"""How a job ended, as the log of its rule tells: with an error, after a signal, or without a word."""

import re
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


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a log: `error` is the line that tells what failed; `signalled` if a signal ended the job."""

    error: str = ""
    signalled: bool = False


def ending(log: Path) -> Ending | None:
    """Return how the job that wrote `log` ended as far as its log tells; None if there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
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
