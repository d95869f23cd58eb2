"""The clients in slurm/bin with stand-ins for SLURM's own commands; test_slurm_recovery.py has a real SLURM."""

import os
import subprocess
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parent.parent / "slurm/bin"
UNREACHABLE = "slurm_load_partitions: Unable to contact slurm controller (connect failure)"
# Fails with `error` until it was called `good` times, then prints its arguments, a job's number and its input.
COMMAND = """#!/bin/sh
echo called >> calls
if [ $(wc -l < calls) -lt {good} ]; then echo "{error}" >&2; exit 3; fi
echo "$@" 12; cat
"""


@pytest.fixture
def call(tmp_path):
    """Return a function that calls a client, and returns what it did and how often it called SLURM's own command."""

    def run(command, *arguments, good, error=UNREACHABLE, script=""):
        program = tmp_path / "own" / command
        program.parent.mkdir(exist_ok=True)
        program.write_text(COMMAND.format(good=good, error=error))
        program.chmod(0o755)
        done = subprocess.run(
            [command, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PATH": f"{CLIENTS}:{program.parent}:{os.environ['PATH']}"},
            input=script,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done, len((tmp_path / "calls").read_text().splitlines())

    return run


def test_a_question_for_partitions_is_repeated_until_slurmctld_answers(call):
    done, calls = call("sinfo", "-o", "%P", good=2)
    assert (done.returncode, done.stdout, calls) == (0, "-o %P 12\n", 2)


def test_a_submission_is_repeated_with_its_script_and_recorded(call, tmp_path):
    done, calls = call("sbatch", "--job-name", "generalthinker-x", good=2, script="#!/bin/sh\n")
    assert (done.returncode, calls) == (0, 2)
    assert "#!/bin/sh" in done.stdout
    assert (tmp_path / ".snakemake/submitted/generalthinker-x").read_text().startswith("12 ")


@pytest.mark.parametrize("command", ["sbatch", "sinfo"])
def test_other_failures_are_passed_on_at_once(call, command):
    done, calls = call(command, good=9, error="error: invalid partition")
    assert (done.returncode, done.stderr, calls) == (3, "error: invalid partition\n", 1)


def test_a_query_that_reaches_nobody_reports_nothing(call):
    done, _ = call("squeue", "--name", "generalthinker-x", good=9)
    assert (done.returncode, done.stdout) == (0, "")
    done, _ = call("scontrol", "show", "config", good=9)
    assert (done.returncode, done.stdout.split()) == (0, ["MinJobAge", "=", "300", "sec"])
