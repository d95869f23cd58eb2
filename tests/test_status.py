"""What `generalthinker status` tells of runs in every state, with a squeue that is made up, slow, broken or absent."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from generalthinker.code_versions import all_code, code_of_model
from generalthinker.config import Settings, load
from generalthinker.files import write_json, write_parquet
from generalthinker.paths import Layout
from generalthinker.reporting import joblogs, queue, status
from generalthinker.reporting.joblogs import ending
from generalthinker.reporting.queue import Queue, read_queue

ROOT = Path(__file__).parent.parent
FIRST, SECOND = "small/Binary-RL_seed-1", "small/Likelihood-RL_seed-1"
FAILURE = "Traceback (most recent call last):\n  File …\ntorch.OutOfMemoryError: CUDA out of memory.\n"
LINE = "12:00:00 generalthinker.training.history: step 1 of 60: reward 0.1\n"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the demo's settings with empty results, in a folder of their own."""
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"results": "results"}))
    loaded = load([ROOT / "config/demo.yaml", tmp_path / "mine.yaml"])
    monkeypatch.chdir(tmp_path)
    return loaded


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that puts a squeue on the PATH which prints these jobs, or runs this shell script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def put(jobs: list[str] | None = None, script: str = "") -> None:
        lines = [f"{number}|generalthinker_x|{state}|{reason}|{tmp_path}|{work}"
                 for number, state, reason, work in (job.split("|") for job in jobs or [])]  # fmt: skip
        (folder / "jobs").write_text("".join(f"{line}\n" for line in lines))
        (folder / "squeue").write_text(f"#!/bin/sh\n{script or f'cat {folder}/jobs'}\n")
        (folder / "squeue").chmod(0o755)

    return put


def write_log(settings: Settings, rule: str, name: str, text: str) -> str:
    path = Path(Layout(settings.results).log(rule, name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def begin(settings: Settings, run: str, steps: int, **identity) -> Path:
    """Write what a training of `run` leaves after `steps` of its 60 steps of ten seconds."""
    folder = Path(Layout(settings.results).run(run)) / "checkpoints" / "0123"
    folder.mkdir(parents=True)
    rows = range(1, steps + 1)
    (folder / "metrics.jsonl").write_text("".join(f'{{"step": {n}, "kl": 0.5, "reward": -1.0}}\n' for n in rows))
    (folder / "timing.jsonl").write_text("".join(f'{{"step": {n}, "seconds": 600.0}}\n' for n in rows))
    if identity:
        write_json(folder / "identity.json", identity)
    return folder


def finish(settings: Settings, run: str, **record) -> None:
    layout = Layout(settings.results)
    Path(layout.adapter(run)).mkdir(parents=True)
    write_parquet(layout.history(run), pd.DataFrame({"step": range(1, 61), "kl": 0.25, "reward": -1.5}))
    write_json(layout.run_record(run), {"steps": 60, "training_seconds": 600.0, "code": all_code()} | record)


def lock(folder: str | Path, name: str = "lock", **owner) -> Path:
    path = Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()} | owner))
    return path


def state_of(text: str, name: str) -> str:
    """Return the state in the line of a run."""
    return re.search(rf"^ *{re.escape(name)} +(\w+)", text, re.MULTILINE)[1]


NOBODY = Queue()


@pytest.mark.parametrize(("kls", "warned"), [([2e-5, 3e-5], False), ([2e-5, 3e-4], True), ([2e-5, 0.02], True)])
def test_a_rollout_engine_that_differs_from_the_trainer_is_named(settings: Settings, kls: list, warned: bool) -> None:
    begin(settings, FIRST, 2)
    begin(settings, SECOND, 1)
    assert "engine KL" not in status.status(settings, queue=NOBODY)
    metrics = next(Path(Layout(settings.results).run(FIRST)).rglob("metrics.jsonl"))
    rows = [{"step": step, "kl": 0.5, "reward": -1.0, "sampling/kl": kl} for step, kl in enumerate(kls, start=1)]
    metrics.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    shown = re.escape(f"{kls[-1]:.1e}" + "!" * warned)
    sentence = f"  {FIRST}: KL {kls[-1]:.1e} nats per token at step 2"
    for _ in ("running", "finished"):
        text = status.status(settings, queue=NOBODY)
        assert re.search(rf"{FIRST} .* -1.000 +{shown}\s", text)
        assert ("differs from the trainer by more than rounding" in text) is warned
        assert (sentence in text) is warned
        if not Path(Layout(settings.results).adapter(FIRST)).exists():
            finish(settings, FIRST)
            write_parquet(Layout(settings.results).history(FIRST), pd.DataFrame(rows))


def test_totals_come_first(settings: Settings) -> None:
    finish(settings, FIRST)
    text = status.status(settings, queue=NOBODY)
    assert text.splitlines()[1:4] == [
        "Runs: 11: 1 done, 10 missing",
        "Evaluations: 14: 14 missing",
        "Tables: 6 waiting, 1 ready; Figures: 2 waiting",
    ]
    assert re.search(rf"{FIRST} +done +60 of 60 +0.2500 +-1.500", text)


def test_a_failed_run_is_told_by_the_end_of_its_log(settings: Settings) -> None:
    log = write_log(settings, "train", FIRST, LINE + FAILURE)
    text = status.status(settings, queue=NOBODY)
    assert state_of(text, FIRST) == "failed"
    assert f"(failed): torch.OutOfMemoryError: CUDA out of memory.\n    {log}" in text
    lock(Layout(settings.results).run(FIRST))
    text = status.status(settings, queue=NOBODY)
    assert state_of(text, FIRST) == "running", "the log is an earlier attempt's"
    assert "OutOfMemory" not in text


@pytest.mark.parametrize(
    ("text", "error", "signalled"),
    [
        (LINE + FAILURE + LINE, "", False),
        (LINE + "error: a: expected b\nwrite c instead\n", "error: a: expected b", False),
        ("error: a: SIGTERM at step 7; a checkpoint is in b\n", "error: a: SIGTERM at step 7", True),
        ("[rank1]: RuntimeError: NCCL\nsubprocess.CalledProcessError: x\n", "[rank1]: RuntimeError: NCCL", False),
        (" 10%|#  |\r 20%|## |\rKilled\n", "Killed", False),
        ("x\nslurmstepd: error: *** JOB 7 CANCELLED DUE TO TIME LIMIT ***", "slurmstepd: error: *** JOB 7", False),
        ("bash: generalthinker: command not found\n", "bash: generalthinker: command not found", False),
        ("", "", False),
        ("ValueError: é\n".encode().decode("latin-1"), "ValueError: ", False),
    ],
)  # fmt: skip
def test_the_error_is_what_a_person_would_look_for(tmp_path: Path, text: str, error: str, signalled: bool) -> None:
    (tmp_path / "a.log").write_text(text)
    end = ending(tmp_path / "a.log")
    assert end is not None
    assert end.error.startswith(error)
    assert bool(end.error) == bool(error)
    assert end.signalled == signalled


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(FAILURE + "word " * 100_000 + f"\n{'x' * 1000}Error\nValueError: {'y' * 1000}\n")
    end = ending(tmp_path / "a.log")
    assert end is not None
    assert end.error.startswith("ValueError: yyy")
    assert len(end.error) < joblogs.LONGEST + 5
    assert ending(tmp_path / "none.log") is None


def test_logs_of_single_attempts_are_counted(settings: Settings) -> None:
    log = write_log(settings, "train", FIRST, FAILURE)
    for number in (1, 2, 10):
        Path(f"{log}.{number}").write_text("")
    assert f"{FIRST} (failed, attempt 3): torch" in status.status(settings, queue=NOBODY)


def test_a_run_that_a_signal_ended_has_stopped(settings: Settings) -> None:
    begin(settings, FIRST, 20)
    write_log(settings, "train", FIRST, f"{LINE}error: {FIRST}: SIGTERM at step 20; a checkpoint is in x\n")
    begin(settings, SECOND, 3)
    text = status.status(settings, queue=NOBODY)
    assert re.search(rf"{FIRST} +stopped +20 of 60 +0.5000 +-1.000 +6 h 40 min", text)
    assert state_of(text, SECOND) == "stopped"


def test_the_queue_is_joined_by_rule_and_wildcards(settings: Settings, squeue) -> None:
    squeue(
        [
            "7|FAILED|NonZeroExitCode|rule_train_wildcards_small_Binary-RL_seed-1",
            "12|PENDING|Resources|rule_train_wildcards_small_Binary-RL_seed-1",
            "13|RUNNING|None|rule_train_wildcards_small_Likelihood-RL_seed-1",
            "14|OUT_OF_MEMORY|None|rule_train_wildcards_small_AM-only_strength-0.1_seed-1",
            "15|TIMEOUT|None|rule_train_wildcards_small_AM+DP_strength-0.1_seed-1",
            "16|PENDING|Priority|rule_generate_wildcards_small_Base_toys",
        ]
    )
    log = write_log(settings, "train", FIRST, FAILURE)
    text = status.status(settings)
    assert re.search(rf"{re.escape(FIRST)} +queued .*12 pending \(Resources\) +2\n", text)
    assert f"{FIRST} (queued, attempt 2, SLURM job 12 pending (Resources)): torch.OutOfMemoryError" in text
    assert log in text
    assert re.search(rf"{re.escape(SECOND)} +running .*13 running +1\n", text)
    assert re.search(r"AM-only\S+ \(failed, attempt 1, SLURM job 14 out_of_memory\): SLURM says out_of_memory", text)
    assert state_of(text, "small/AM+DP_strength-0.1_seed-1") == "stopped"
    assert re.search(r"small/Base on toys +queued +16 pending \(Priority\) +1", text)
    assert "Runs: 11: 1 running, 1 queued, 1 failed, 1 stopped, 7 missing" in text


def test_without_job_comments_the_folder_of_the_log_tells_what_a_job_works_on(settings: Settings, squeue) -> None:
    logs = queue.LOGS / "rule_train" / "small_Binary-RL_seed-1"
    logs.mkdir(parents=True)
    for number in (9, 12):
        (logs / f"{number}.log").write_text("")
    squeue(["12|RUNNING|None|(null)", "13|PENDING|Priority|(null)"])
    text = status.status(settings)
    assert re.search(rf"{FIRST} +running .*12 running +2\n", text)
    assert "SLURM: 1 live jobs of this folder do not say what they work on" in text


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1", "Unable to contact"),
        ("exec sleep 60", "did not answer squeue within 0.3 s"),
        ("echo 'no jobs at all'; echo 'a|b'", ""),
    ],
)
def test_slurm_that_does_not_answer_is_one_line(settings, squeue, monkeypatch, script: str, words: str) -> None:
    monkeypatch.setattr(queue, "ANSWER_SECONDS", 0.3)
    squeue(script=script)
    started = time.monotonic()
    text = status.status(settings)
    assert time.monotonic() - started < 10
    assert "Runs: 11: 11 missing" in text
    assert [words in line for line in text.splitlines() if line.startswith("SLURM: ")] == ([True] if words else [])


def test_no_slurm_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no squeue on this machine" in read_queue().remark
    (tmp_path / "squeue").write_text("not a program")
    (tmp_path / "squeue").chmod(0o755)
    assert "states come from the files alone" in read_queue().remark


def test_a_run_that_waits_for_another_process_is_waiting(settings: Settings) -> None:
    folder = Layout(settings.results).run(FIRST)
    lock(folder, host="node1", pid=33, slurm_job="7")
    assert state_of(status.status(settings, queue=NOBODY), FIRST) == "running"
    claim = lock(folder, f".lock.{'0' * 32}", token="other")
    text = status.status(settings, only=["running"], queue=NOBODY)
    assert state_of(text, FIRST) == "waiting", "it runs, too"
    assert f"process {os.getpid()} on {socket.gethostname()} waits for SLURM job 7 (process 33 on node1)" in text
    claim.write_text(json.dumps({"host": "node2", "pid": 1, "slurm_job": "8"}))
    assert state_of(status.status(settings, queue=NOBODY), FIRST) == "running", "nobody knows whether job 8 lives"


def test_a_lock_without_sign_of_life_is_not_a_running_job(settings: Settings) -> None:
    path = lock(Layout(settings.results).run(FIRST), host="node1")
    os.utime(path, (time.time() - 1000,) * 2)
    lock(Layout(settings.results).run(SECOND), pid=2**22 + 1)
    begin(settings, SECOND, 5)
    text = status.status(settings, queue=NOBODY)
    assert (state_of(text, FIRST), state_of(text, SECOND)) == ("missing", "stopped")


def test_evaluations_have_states_of_their_own(settings: Settings) -> None:
    layout = Layout(settings.results)
    for run in (FIRST, SECOND, "small/Base"):
        write_parquet(layout.generations(run, "toys"), pd.DataFrame())
    write_parquet(layout.grades(FIRST, "toys"), pd.DataFrame())
    log = write_log(settings, "grade", f"{SECOND}/toys", "error: no such questions\n")
    lock(layout.lock("generations", "medium/Base/toys"))
    write_log(settings, "generate", "large/Base/toys", "RuntimeError: Engine core initialization failed\n")
    text = status.status(settings, queue=NOBODY)
    assert "Evaluations: 14: 1 done, 1 running, 2 failed, 10 missing" in text
    assert re.search(r"small/Base +generated, to grade", text)
    assert re.search(r"medium/Base +running", text)
    assert f"{SECOND} on toys (failed): error: no such questions\n    {log}" in text
    assert "large/Base on toys (failed): RuntimeError: Engine core" in text


def test_a_failed_preparation_is_named(settings: Settings) -> None:
    log = write_log(settings, "benchmark", "Toy-Sum", "error: Toy-Sum: no access\n")
    assert f"benchmark Toy-Sum (failed): error: Toy-Sum: no access\n    {log}" in status.status(settings, queue=NOBODY)


def test_only_some_states(settings: Settings) -> None:
    finish(settings, FIRST)
    write_log(settings, "train", SECOND, FAILURE)
    write_log(settings, "generate", "small/Base/toys", FAILURE)
    text = status.status(settings, only=["failed"], queue=NOBODY)
    assert (state_of(text, SECOND), state_of(text, "small/Base on toys")) == ("failed", "failed")
    assert FIRST not in text
    assert "Tables and figures" not in text
    with pytest.raises(
        status.StatusError, match="--only broken: no such state; allowed: done, running, waiting, queued"
    ):
        status.status(settings, only=["failed", "broken"], queue=NOBODY)


def test_what_other_code_made_is_named_with_components_and_files(settings: Settings) -> None:
    code = all_code()
    finish(settings, FIRST, code=code | {"credit": "7"})
    begin(settings, SECOND, 3, code=code | {"rewards": "8"})
    built_by = Path(Layout(settings.results).model("small")) / "built_by.json"
    write_json(built_by, {"code": code_of_model("tiny") | {"pretraining": "9"}})
    text = status.status(settings, queue=NOBODY)
    assert re.search(r"model small: pretraining 9, now \S+ in models/tiny.py", text)
    assert re.search(rf"{FIRST}: .*credit 7, now \S+ in credit", text)
    assert re.search(rf"{SECOND}, begun: .*rewards 8, now \S+ in rewards", text)


def test_time_left_is_measured_where_it_can_be(settings: Settings) -> None:
    begin(settings, FIRST, 54)
    assert "nothing is running" in status.status(settings, queue=NOBODY)
    lock(Layout(settings.results).run(FIRST))
    text = status.status(settings, queue=NOBODY)
    assert re.search(rf"{FIRST} +running +54 of 60 .* 1 h 00 min", text)
    assert re.search(rf"{SECOND} +missing +≈ 10 h 00 min", text)
    assert "Left: at least 4 d 5 h with 1 jobs at a time, as now" in text, "one hour, and ten runs of ten hours"


@pytest.fixture
def sweep(tmp_path: Path) -> Settings:
    """Return 900 runs of the paper's models, 5,400 evaluations."""
    method = {"model": "qwen2.5-1.5b", "method": "GeneralThinker"}
    strengths = [round(number / 20, 2) for number in range(1, 10)]
    table = {"kind": "averages", "title": "β", "groups": ["General", "Math & STEM"]}
    content = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    content |= {"results": str(tmp_path / "results"), "seeds": [*range(1, 101)], "figures": {}}
    content["tables"] = {"sweep": table | {"sweep": {"run": method, "modulation_strength": strengths}}}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content))
    return load([tmp_path / "sweep.yaml"])


def test_nine_hundred_runs_fit_on_a_screen_and_take_seconds(sweep: Settings) -> None:
    for seed in range(1, 31):
        write_log(sweep, "train", f"qwen2.5-1.5b/GeneralThinker_strength-0.1_clip-2.0_seed-{seed}", FAILURE)
    started = time.monotonic()
    text = status.status(sweep, queue=NOBODY)
    assert time.monotonic() - started < 8, "1 s on an idle machine; benchmarks/status_speed.py measures it"
    assert len(text.splitlines()) < 50
    assert re.search(r"qwen2.5-1.5b GeneralThinker +900: 30 failed, 870 missing +5400: 5400 missing", text)
    assert "and 25 more: --only failed" in text
    assert len(status.status(sweep, everything=True, queue=NOBODY).splitlines()) > 1800
    assert status.status(sweep, only=["failed"], queue=NOBODY).count("seed-7 ") >= 1


def test_status_imports_neither_pandas_nor_a_framework(settings: Settings, tmp_path: Path) -> None:
    finish(settings, FIRST)
    write_parquet(Layout(settings.results).grades(FIRST, "toys"), pd.DataFrame({"a": [1]}))
    code = (
        "import sys; from generalthinker.config import load; from generalthinker.reporting import plan, status;"
        f"print(status.status(load(['{ROOT}/config/demo.yaml', '{tmp_path}/mine.yaml'])));"
        "print(sorted({'pandas', 'torch', 'transformers', 'vllm', 'snakemake'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert "1 done" in done.stdout
