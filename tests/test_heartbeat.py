"""What is printed while Snakemake says nothing: by a clock that tests set, and once by a real Snakemake."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent

from generalthinker.reporting.joblogs import Progress, progress
from snakemake_logger_plugin_generalthinker import LogHandler
from snakemake_logger_plugin_generalthinker.heartbeat import Heartbeat

BAR = "pre-training:  {percent}%|████▌ | {done}/5000 [02:16<{left}, 39.47step/s, loss=0.045]"
STEP = "12:00:0{step} generalthinker.training.history: step {step} of 60: reward 0.1, KL 0.1, {seconds} s\n"


class Sweep:
    """A heartbeat whose clock is `now`, and the messages that Snakemake would send."""

    def __init__(self, folder: Path) -> None:
        self.now, self.folder = 1_000_000.0, folder
        self.heartbeat = Heartbeat(lambda: self.now)

    def say(self, event: LogEvent | None = None, **fields) -> None:
        self.heartbeat.note(logging.makeLogRecord({"event": event, **fields}))

    def start(self, number: int, rule: str, name: str, log: str = "") -> None:
        """Start job `number`, whose log says `log`; without one there is no file."""
        path, measured = self.folder / f"logs/{rule}/{name}.log", self.folder / f"measured/{rule}/{name}.tsv"
        self.write(path, log)
        fields = {"jobid": number, "rule_name": rule, "log": [str(path)], "benchmark": str(measured)}
        self.say(LogEvent.JOB_INFO, wildcards={"run": name}, **fields)

    def write(self, path: Path, text: str) -> None:
        if text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            os.utime(path, (self.now, self.now))

    def line(self, after: float) -> str | None:
        """Return the line `after` seconds from now, without the time of day."""
        self.now += after
        line = self.heartbeat.line()
        return line and line.partition(" ")[2]


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path)


def test_one_line_after_each_silent_minute_names_what_runs(sweep):
    sweep.start(1, "train", "small/GT", "".join(STEP.format(step=step, seconds=30) for step in (1, 2)))
    assert sweep.line(59) is None
    assert sweep.line(1) == "still running: train small/GT 1 min, step 2 of 60, 29 min left"
    assert sweep.line(59) is None
    sweep.start(2, "pretrain", "large", BAR.format(percent=40, done=2000, left="01:30"))
    assert sweep.line(59) is None, "Snakemake has just said that a job starts"
    assert sweep.line(1) == (
        "still running: train small/GT 3 min, step 2 of 60, 29 min left; "
        "pretrain large 1 min, pre-training 2000 of 5000, 2 min left"
    )
    sweep.say(LogEvent.JOB_FINISHED, job_id=1)
    sweep.say(LogEvent.JOB_ERROR, jobid=2)
    assert sweep.line(3600) is None


def test_short_jobs_one_after_the_other_are_not_worth_a_line(sweep):
    for number in range(10):
        sweep.start(number, "table_row", f"table1/{number}")
        assert sweep.line(30) is None
        sweep.say(LogEvent.JOB_FINISHED, job_id=number)
    sweep.start(99, "table", "table1")
    assert sweep.line(59) is None, "silent for long enough, but no job has run for so long"


def test_no_time_is_promised_where_none_is_known(sweep):
    sweep.start(1, "train", "small/GT", "12:00:00 generalthinker.training.run: small/GT: starting\n")
    sweep.start(2, "generate", "small/GT/toys")
    assert sweep.line(70) == "still running: train small/GT 1 min; generate small/GT/toys 1 min, no log yet"


def test_measured_jobs_of_the_rule_say_what_is_usual(sweep):
    for name, seconds in (("a/toys", 100), ("b/toys", 140), ("c/toys", 180), ("a/others", 900), ("d/toys", 3.9)):
        sweep.write(sweep.folder / f"measured/generate/{name}.tsv", f"s\th:m:s\n{seconds}\t0:01:00\n")
    sweep.write(sweep.folder / "measured/generate/half.tsv", "s\th:")
    sweep.start(1, "generate", "e/toys", "loading\n")
    sweep.start(2, "generate", "e/none", "loading\n")
    assert sweep.line(60) == (
        "still running: generate e/toys 1 min, others took 2 min; generate e/none 1 min, others took 3 min"
    )


def test_the_log_of_an_earlier_attempt_says_nothing_about_this_one(sweep):
    sweep.write(sweep.folder / "logs/train/small/GT.log", STEP.format(step=9, seconds=30))
    sweep.now += 3600
    sweep.start(1, "train", "small/GT")
    assert sweep.line(60) == "still running: train small/GT 1 min, no log yet"


def test_many_jobs_are_counted(sweep):
    for number in range(12):
        sweep.start(number, "generate" if number % 3 else "train", f"run {number}")
    assert sweep.line(3900) == (
        "still running or queued: 12 jobs, 8 of generate and 4 of train, the longest for 1 h 05 min; "
        "`generalthinker status` says how far they are"
    )


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", None),
        ("step 3 of 3: reward 0.1, 4.0 s", None),
        ("step 1 of 4: reward 0.1, 9.0 s\nstep 2 of 4: reward 0.1, 5.0 s\n", Progress("step", 2, 4, 14.0)),
        ("Loading weights: 100%|██| 272/272 [00:00<00:00, 15093it/s]\nstarting", None),
        ("a:  10%|█ | 1/10 [00:01<00:09, 1it/s]\ra:  20%|██ | 2/10 [00:02<1:00:08, 1it/s]", Progress("a", 2, 10, 3608)),
        ("\nresponses:   0%|          | 0/128 [00:00<?, ?it/s]", Progress("responses", 0, 128, None)),
    ],
)
def test_a_log_tells_how_far_its_job_is(tmp_path, log, expected):
    (tmp_path / "log").write_text(log)
    assert progress(tmp_path / "log") == expected


def test_a_log_that_is_not_there_tells_nothing(tmp_path):
    assert progress(tmp_path / "log") is None


class Settings:
    """The part of Snakemake's settings that the plugin reads."""

    quiet: set[Quietness] | None = None


@pytest.mark.parametrize(
    ("event", "quiet", "started"),
    [
        (LogEvent.JOB_STARTED, None, True),
        (LogEvent.JOB_STARTED, {Quietness.RULES}, True),
        (LogEvent.JOB_STARTED, {Quietness.PROGRESS}, False),  # Snakemake then tells no end of a job either
        (LogEvent.JOB_STARTED, {Quietness.ALL}, False),
        (LogEvent.RUN_INFO, None, False),  # a dry run goes no further
    ],
)
def test_only_jobs_start_the_thread_and_only_if_progress_is_wanted(event, quiet, started):
    settings = Settings()
    settings.quiet = quiet
    handler = LogHandler(settings, None)
    handler.emit(logging.makeLogRecord({"event": event, "msg": ""}))
    assert (handler.heartbeat is not None) == started
    handler.close()


SNAKEFILE = """
rule wait:
    output: "done"
    log: "wait.log"
    shell:
        "echo 'step 1 of 9: reward 1, 60.0 s' > {log}; "
        "until grep -rqs '{words}' .snakemake/log; do sleep 0.1; done; touch {output}"
"""
IMPATIENT = """
import sys
from snakemake_logger_plugin_generalthinker import heartbeat
heartbeat.SILENCE = 0.5
from snakemake.cli import main
main(sys.argv[1:])
"""


def snakemake(folder: Path, words: str, *options: str) -> subprocess.Popen:
    """Start a Snakemake that waits half a second before it prints a line; its job ends when `words` are in its log."""
    (folder / "Snakefile").write_text(SNAKEFILE.replace("{words}", words))
    command = [sys.executable, "-c", IMPATIENT, "--cores", "1", "--logger", "generalthinker", *options]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True)


def test_a_real_snakemake_prints_the_line_and_ends_as_before(tmp_path):
    with snakemake(tmp_path, "still running: wait") as process:
        said = process.stderr.read()
    assert process.returncode == 0, said
    assert "still running: wait < 1 min, step 1 of 9, 8 min left\n" in said
    assert said.index("still running") < said.index("1 of 1 steps (100%) done")


def test_ctrl_c_ends_a_snakemake_that_prints_lines(tmp_path):
    with snakemake(tmp_path, "never") as process:
        for line in process.stderr:
            if "still running" in line:
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does: also the job gets it
                break
        said = process.stderr.read()
    assert process.returncode == 1
    assert "Terminating processes on user request" in said
    assert "Traceback" not in said
