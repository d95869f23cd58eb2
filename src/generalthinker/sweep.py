"""One command that makes targets whatever happens: it cleans up after a dead session and repeats Snakemake.

It stops when the targets are there, or when a run has failed twice without a new optimizer step.
"""

import json
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
from generalthinker.lock import FolderLock, is_held
from generalthinker.paths import Layout

Orphans = Literal["ask", "wait", "cancel"]
LOOK_SECONDS = 10.0
FRUITLESS = 2


class SweepError(StageError, RuntimeError):
    """The targets could not be made; the message says what failed."""


def sweep(settings: Settings, command: list[str], orphans: Orphans, uses_slurm: bool) -> None:
    """Run the Snakemake `command` until it succeeds. Raises SweepError when nothing new comes of repeating it."""
    session = Path(".snakemake/generalthinker-session")
    if is_held(session):
        owner = json.loads((session / "lock").read_text())
        raise SweepError(
            f"another session works in this folder: process {owner['pid']} on {owner['host']} since "
            f"{owner['started']}. Wait for it, or end it with Ctrl-C there"
        )
    with FolderLock(session):
        if uses_slurm:
            _clear_orphans(orphans)
        fruitless, before = 0, progress(settings)
        while True:
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
    """Remove the lock of a dead Snakemake; this session's own lock shows that none lives."""
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
