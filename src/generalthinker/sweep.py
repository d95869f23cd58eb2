"""One command that makes targets whatever happens: it cleans up after a dead session and repeats Snakemake.

It stops when the targets are there, or when a run has failed twice without a new optimizer step.
"""

import atexit
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

from generalthinker import slurm
from generalthinker.config.settings import Settings
from generalthinker.errors import StageError
from generalthinker.lock import FolderLock, holder
from generalthinker.paths import Layout

Orphans = Literal["ask", "wait", "cancel"]
SWEEP = Path(".snakemake/generalthinker-sweep")
SNAKEMAKE = Path(".snakemake/generalthinker-session")
LOOK_SECONDS = 10.0
FRUITLESS = 2


class SweepError(StageError, RuntimeError):
    """The targets could not be made; the message says what failed."""


def sweep(settings: Settings, command: list[str], orphans: Orphans, uses_slurm: bool) -> None:
    """Run the Snakemake `command` until it succeeds. Raises SweepError when nothing new comes of repeating it."""
    refuse_second_session(SWEEP)
    refuse_second_session(SNAKEMAKE)
    with FolderLock(SWEEP):
        if uses_slurm:
            _clear_orphans(orphans)
        fruitless, before = 0, progress(settings)
        while True:
            refuse_second_session(SNAKEMAKE)
            _unlock(command)
            code = _run(command)
            if code == 0:
                return
            if code in (-signal.SIGINT, 130):
                raise SweepError("interrupted; the same command continues")
            after = progress(settings)
            fruitless = 0 if after > before else fruitless + 1
            before = after
            if fruitless >= FRUITLESS:
                raise SweepError(
                    f"{' '.join(command)} failed {FRUITLESS} times without a new step; `generalthinker status --only "
                    "failed` shows what failed and where its log is"
                )
            say(f"Snakemake ended with {code}; starting it again")
            if uses_slurm:
                slurm.wait_until_reachable(say)
                _clear_orphans("wait" if orphans == "ask" else orphans)


def hold_session() -> None:
    """Hold the lock of this folder's Snakemake sessions until this process ends.

    Raises SweepError if another session holds it. Snakemake's own lock can be removed while its owner lives; this one
    tells whether it does.
    """
    refuse_second_session(SNAKEMAKE)
    lock = FolderLock(SNAKEMAKE)
    lock.__enter__()
    atexit.register(lock.__exit__, None, None, None)


def refuse_second_session(folder: Path) -> None:
    """Raise SweepError if a live process holds the lock of `folder`."""
    owner = holder(folder)
    if owner is not None and owner.get("pid") != os.getpid():
        raise SweepError(
            f"another session works in this folder: process {owner.get('pid')} on {owner.get('host')} since "
            f"{owner.get('started')}. Wait for it, or end it with Ctrl-C there; if that host is lost, wait two minutes"
        )


def progress(settings: Settings) -> int:
    """Return a number that grows with every optimizer step and every finished result of this experiment."""
    layout = Layout(settings.results)
    kept = Path(settings.results) / "kept"
    finished = sum(1 for _ in kept.glob("*/*/kept.json"))
    steps = 0
    for metrics in Path(f"{layout.results}/runs").glob("*/*/checkpoints/*/metrics.jsonl"):
        with metrics.open("rb") as file:
            steps += sum(1 for _ in file)
    # A finished run deletes its checkpoints: it counts for more than any of its steps.
    return finished * 1_000_000_000 + steps


def say(text: str) -> None:
    """Print a line about the sweep itself."""
    print(f"sweep: {text}", file=sys.stderr, flush=True)


def _clear_orphans(orphans: Orphans) -> None:
    slurm.wait_until_reachable(say)
    live = slurm.orphans()
    if not live:
        return
    if orphans == "ask":
        raise slurm.OrphansError(
            slurm.describe_orphans(live)
            + "\nTo end them and go on by itself:\n  generalthinker sweep --orphans cancel …"
        )
    if orphans == "cancel":
        say(f"cancelling {len(live)} jobs of an earlier session")
        slurm.cancel(live)
        return
    say(f"waiting for {len(live)} jobs of an earlier session: {' '.join(job.number for job in live)}")
    while live:
        time.sleep(LOOK_SECONDS)
        try:
            live = slurm.orphans()
        except slurm.UnreachableError:
            slurm.wait_until_reachable(say)


def _unlock(command: list[str]) -> None:
    """Remove the lock of a dead Snakemake; no live one holds the lock of this folder's sessions."""
    if any(Path(".snakemake/locks").glob("*")):
        say(f"unlocking the folder after a dead session (on {socket.gethostname()})")
        before_targets = command.index("--")
        unlock = [*command[:before_targets], "--unlock", *command[before_targets:]]
        subprocess.run(unlock, check=True, capture_output=True)


def _run(command: list[str]) -> int:
    environment = os.environ | {"GENERALTHINKER_ORPHANS": "handled"}
    process = subprocess.Popen(command, env=environment)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The terminal sent the same signal to Snakemake, which cancels its jobs and ends.
            say("interrupted; waiting for Snakemake to end")
            process.wait()
            raise SweepError("interrupted; the same command continues") from None
