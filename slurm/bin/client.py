#!/usr/bin/env python3
"""Stands before SLURM's sbatch, sinfo, squeue and scontrol on a session's PATH, and bridges an unreachable slurmctld.

Snakemake's SLURM plugin 2.8 forgets all its jobs when one status query fails, and then waits for ever; a submission
that fails uses up one of a job's retries. So here:

sbatch  is repeated until slurmctld can be reached; the number of the job is written down.
sinfo   is repeated too: the plugin asks it for the default partition before each submission.
squeue  that cannot reach slurmctld lists no job and succeeds, which the plugin takes for "not listed yet". A job that
        was submitted here and is no longer listed gets the state UNKNOWN: the plugin then takes it for ended, and
        Snakemake looks whether its outputs are there.
scontrol show config  that cannot reach slurmctld states SLURM's default MinJobAge: the plugin asks for it before each
        query, and without an answer it turns to sacct, which hangs on a cluster without an accounting database. What
        the plugin guards against, a job that SLURM has forgotten, is taken care of above.

Every other use of the commands passes through unchanged. Only Python's standard library is used.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
UNREACHABLE = re.compile(
    r"unable to contact slurm controller|socket timed out|connection refused|zero bytes were transmitted|"
    r"slurm_receive_msg|unable to establish controller machine",
    re.IGNORECASE,
)
QUERY_SECONDS = 45  # the plugin gives up a query after 60
CONFIG_SECONDS = 7  # and its question for the configuration after 10
PAUSE_SECONDS = 5
LISTED_AFTER_SECONDS = 60
PREFIX = "generalthinker"


def real(command: str) -> str:
    """Return the path of SLURM's own command."""
    folders = [f for f in os.environ.get("PATH", "").split(os.pathsep) if f and Path(f).resolve() != HERE]
    path = shutil.which(command, path=os.pathsep.join(folders))
    if path is None:
        sys.exit(f"{command}: not found on the PATH")
    return path


def name_of(arguments: list[str]) -> str | None:
    """Return the job name among the arguments, if it is one of a Snakemake session of this project."""
    for place, argument in enumerate(arguments):
        for option in ("--job-name", "--name", "-J", "-n"):
            value = argument.removeprefix(f"{option}=") if argument.startswith(f"{option}=") else None
            if argument == option and place + 1 < len(arguments):
                value = arguments[place + 1]
            if value is not None and value.strip("'\"").startswith(PREFIX):
                return value.strip("'\"")
    return None


def submitted_file(session: str) -> Path:
    """Return the file with the jobs that a session has submitted: a line per job, number and time."""
    return Path(".snakemake/submitted") / re.sub(r"[^\w.-]", "_", session)


def sbatch(arguments: list[str]) -> int:
    """Submit, again and again while slurmctld cannot be reached."""
    script = None if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read()
    done = repeated("sbatch", arguments, script)
    session, number = name_of(arguments), re.search(rb"\d+", done.stdout)
    if done.returncode == 0 and session and number:
        file = submitted_file(session)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as record:
            record.write(f"{number[0].decode()} {time.time():.0f}\n")
    return done.returncode


def sinfo(arguments: list[str]) -> int:
    """Report partitions and nodes, as soon as slurmctld can be reached."""
    return repeated("sinfo", arguments).returncode


def repeated(command: str, arguments: list[str], script: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run SLURM's own command, again and again while slurmctld cannot be reached; pass on what it prints."""
    while True:
        done = subprocess.run([real(command), *arguments], input=script, capture_output=True)
        if done.returncode == 0 or not UNREACHABLE.search(done.stderr.decode(errors="replace")):
            break
        time.sleep(PAUSE_SECONDS)
    sys.stdout.buffer.write(done.stdout)
    sys.stderr.buffer.write(done.stderr)
    return done


def squeue(arguments: list[str]) -> int:
    """Query; of an unreachable slurmctld report nothing, and of jobs that it has forgotten that they have ended."""
    session = name_of(arguments)
    if session is None:
        os.execv(real("squeue"), ["squeue", *arguments])
    try:
        done = subprocess.run([real("squeue"), *arguments], capture_output=True, text=True, timeout=QUERY_SECONDS)
    except subprocess.TimeoutExpired:
        return 0
    if done.returncode and UNREACHABLE.search(done.stderr):
        return 0
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    file = submitted_file(session)
    if done.returncode == 0 and file.exists():
        listed = {line.partition("|")[0].strip() for line in done.stdout.splitlines()}
        for line in file.read_text().splitlines():
            number, at = line.split()
            if number not in listed and time.time() - float(at) > LISTED_AFTER_SECONDS:
                print(f"{number}|UNKNOWN")
    return done.returncode


def scontrol(arguments: list[str]) -> int:
    """Show the configuration; of an unreachable slurmctld the one value that the plugin reads."""
    if arguments != ["show", "config"]:
        os.execv(real("scontrol"), ["scontrol", *arguments])
    try:
        done = subprocess.run([real("scontrol"), *arguments], capture_output=True, text=True, timeout=CONFIG_SECONDS)
    except subprocess.TimeoutExpired:
        done = None
    if done is None or (done.returncode and UNREACHABLE.search(done.stderr)):
        print("MinJobAge               = 300 sec")
        return 0
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    return done.returncode


if __name__ == "__main__":
    commands = {"sbatch": sbatch, "sinfo": sinfo, "squeue": squeue, "scontrol": scontrol}
    sys.exit(commands[Path(sys.argv[0]).name](sys.argv[1:]))
