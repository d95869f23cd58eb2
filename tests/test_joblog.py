"""Every attempt of a job keeps its own log, and the declared log is the newest one."""

import os
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import tiny

ROOT = Path(__file__).parent.parent
SHOW = """
import os, sys
from generalthinker.joblog import open_attempt
open_attempt(sys.argv[1])
print("printed"); sys.stdout.flush(); os.system("echo from a child")
if len(sys.argv) > 2:
    sys.stdin.readline(); print("still here")
"""


def start(log, *more):
    command = [sys.executable, "-c", SHOW, str(log), *more]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=tiny.environment(SLURM_JOB_ID="4711"), **pipes)


def test_a_second_job_leaves_the_log_of_the_live_one_alone(tmp_path):
    log = tmp_path / "logs/train/run.log"
    first = start(log, "wait")
    while not log.exists() or "from a child" not in log.read_text():
        assert first.poll() is None
    log.unlink()  # as Snakemake does before every job
    second = start(log)
    assert second.communicate()[0] == ""
    assert first.communicate("go on\n")[0] == ""
    one, two = (log.with_name(f"run.log.{number}").read_text() for number in (1, 2))
    assert one.splitlines()[1:] == ["printed", "from a child", "still here"]
    assert two.splitlines()[1:] == ["printed", "from a child"]
    assert log.read_text() == two
    assert sorted(path.name for path in log.parent.iterdir()) == ["run.log", "run.log.1", "run.log.2"]


def test_the_first_line_says_who_started_when_with_which_code(tmp_path):
    process = start(tmp_path / "a.log")
    process.communicate()
    header = (tmp_path / "a.log").read_text().splitlines()[0]
    assert re.fullmatch(
        rf"== attempt 1, \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d, host {socket.gethostname()}, process {process.pid}, "
        r"SLURM job 4711, commit (unknown|[0-9a-f]{40}(\+changes)?)",
        header,
    )


def test_a_log_of_an_earlier_version_is_kept(tmp_path):
    (tmp_path / "a.log").write_text("what it said before\n")
    start(tmp_path / "a.log").communicate()
    assert (tmp_path / "a.log.1").read_text() == "what it said before\n"
    assert (tmp_path / "a.log").readlink() == Path("a.log.2")


def test_attempts_that_start_together_have_a_log_each(tmp_path):
    from generalthinker.joblog import _claim

    with ThreadPoolExecutor(16) as pool:
        claimed = set(pool.map(_claim, [tmp_path / "[odd] *.log"] * 40))
    assert {path.name for path in claimed} == {f"[odd] *.log.{number}" for number in range(1, 41)}


def test_every_rule_opens_a_log_per_attempt():
    for file in sorted((ROOT / "workflow/rules").glob("*.smk")):
        for command in re.findall(r'shell:\s+((?:"[^"]*"\s*)+)', file.read_text()):
            assert "generalthinker --log {log} " in command, f"{file.name}: {command}"
            # Another program's output belongs into the same log.
            assert ">" not in command.replace("&>> {log}", "")


@pytest.mark.slow
def test_snakemake_keeps_the_logs_of_all_attempts(tmp_path):
    (tmp_path / "mine.yaml").write_text(f"results: {tmp_path}/results")
    table = tmp_path / "results/table7.csv"
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--nolock", "--quiet", "--directory", tmp_path]
    files = [ROOT / "config/demo.yaml", tmp_path / "mine.yaml"]
    for place in ("workflow", "Snakefile", "config"):
        (tmp_path / place).symlink_to(ROOT / place)
    environment = tiny.environment(PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for _ in range(2):
        done = subprocess.run(
            [*command, "--configfile", *files, "--", table], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        table.unlink()
    log = tmp_path / "results/logs/table/table7.log"
    assert [log.with_name(f"table7.log.{number}").read_text()[:12] for number in (1, 2)] == [
        "== attempt 1",
        "== attempt 2",
    ]
    assert log.readlink() == Path("table7.log.2")
