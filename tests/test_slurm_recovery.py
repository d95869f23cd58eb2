"""A sweep of three runs on a real SLURM while things break: no step is done twice, and the results stay the same.

`make recovery` runs all of it and the case in test_slurm.py, half an hour on two cores; CI runs that case.
"""

import re
import subprocess
import time

import pytest
import yaml

from slurm_sweeps import OVERLAY, RUNS, SAVE_EVERY, Sweep, cluster_sh, edit_profile, end, live, wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.mark.recovery
@pytest.mark.parametrize("orphans", ["wait", "cancel"])
def test_sweep_cleans_up_after_a_dead_session(sweep, undisturbed, orphans):
    master = sweep.start(sweep.command())
    sweep.wait_for_steps(12, master)
    master.kill()
    master.wait()
    assert sweep.run(sweep.sweep_command(), timeout=120) == 1
    assert "sweep --orphans cancel" in sweep.log
    assert sweep.run(sweep.sweep_command("--orphans", orphans)) == 0, sweep.log[-5000:]
    sweep.check(undisturbed.weights(), repeated=0 if orphans == "wait" else SAVE_EVERY)


@pytest.mark.recovery
def test_an_outage_of_the_controller_over_a_poll_and_a_submission(sweep, undisturbed):
    sweep.targets = sweep.targets[:1]
    master = sweep.start(sweep.command())
    try:
        sweep.wait_for_steps(3, master)
        cluster_sh("controller-down")
        more = Sweep.__new__(Sweep)
        more.__dict__ = sweep.__dict__ | {"targets": undisturbed.targets[1:]}
        time.sleep(60)
        cluster_sh("controller-up")
        assert master.wait(600) == 0, sweep.log[-5000:]
        cluster_sh("controller-down")
        second = more.start(more.command())
        time.sleep(60)
        cluster_sh("controller-up")
        assert second.wait(900) == 0, sweep.log[-5000:]
    finally:
        cluster_sh("controller-up")
        end(master)
    sweep.check(undisturbed.weights())


@pytest.mark.recovery
@pytest.mark.parametrize("event", ["scancel", "requeue", "preemption"])
def test_a_job_that_is_taken_away_continues_from_its_checkpoint(sweep, undisturbed, event):
    master = sweep.start(sweep.command())
    try:
        sweep.wait_for_steps(15, master)
        running = next(job for job in live(sweep) if job.state == "RUNNING")
        if event == "scancel":
            subprocess.run(["scancel", running.number], check=True, timeout=30)
        elif event == "requeue":
            subprocess.run(["scontrol", "requeue", running.number], check=True, timeout=30)
        else:
            urgent = ["sbatch", "--partition=urgent", "--gpus=a100:4", "--wrap=sleep 5", "--output=/dev/null"]
            subprocess.run(urgent, check=True, timeout=30)
        assert master.wait(900) == 0, sweep.log[-5000:]
    finally:
        end(master)
    sweep.check(undisturbed.weights(), repeated=SAVE_EVERY)


@pytest.mark.recovery
def test_a_drained_node_and_a_restarted_slurmd_only_cost_time(sweep, undisturbed):
    host = subprocess.run(["hostname", "-s"], capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run(["scontrol", "update", f"nodename={host}", "state=drain", "reason=test"], check=True, timeout=30)
    master = sweep.start(sweep.command())
    try:
        wait_until(lambda: any(job.reason not in ("None", "") for job in live(sweep)), master)
        subprocess.run(["scontrol", "update", f"nodename={host}", "state=resume"], check=True, timeout=30)
        sweep.wait_for_steps(5, master)
        cluster_sh("node-down")
        time.sleep(5)
        cluster_sh("node-up")
        assert master.wait(900) == 0, sweep.log[-5000:]
    finally:
        subprocess.run(["scontrol", "update", f"nodename={host}", "state=resume"], check=False, timeout=30)
        end(master)
    sweep.check(undisturbed.weights(), repeated=SAVE_EVERY)


@pytest.mark.recovery
def test_the_time_limit_costs_no_finished_step(sweep, undisturbed):
    # One minute is the least that SLURM knows: the runs are made long enough for it.
    overlay = {**OVERLAY, "training": {**OVERLAY["training"], "max_steps": 400}}
    (sweep.folder / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    edit_profile(sweep.folder / "slurm", r"runtime: 1440 .*$", "runtime: 1")
    sweep.targets = sweep.targets[:1]
    assert sweep.run(sweep.sweep_command()) == 0, sweep.log[-5000:]
    logs = (sweep.results / "logs/train").glob(f"{RUNS[0]}*.log*")
    text = "".join(log.read_text() for log in logs if not log.is_symlink())
    steps = [int(step) for step in re.findall(r"step (\d+) of 400\b", text)]
    assert sorted(steps) == list(range(1, 401)), "SIGTERM saves the step that it interrupts"
    assert text.count("resuming from") >= 1


@pytest.mark.recovery
def test_a_second_session_in_the_folder_is_refused_and_the_first_unharmed(sweep, undisturbed):
    first = sweep.start(sweep.sweep_command())
    try:
        sweep.wait_for_steps(5, first)
        assert sweep.run(sweep.sweep_command(), timeout=120) == 1
        assert "another session works in this folder" in sweep.log
        assert sweep.run(sweep.command(), timeout=120) != 0
        assert first.wait(900) == 0, sweep.log[-5000:]
    finally:
        end(first)
    sweep.check(undisturbed.weights())
