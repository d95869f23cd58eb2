"""One training per run folder: who holds the lock, who is told, and when it passes on."""

import hashlib
import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from generalthinker.training import lock as locking
from generalthinker.training.lock import RunLock, RunLockedError


def write_lock(folder, age=0.0, **owner):
    text = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "slurm_job": None, "started": "now"} | owner)
    (folder / "lock").write_text(text)
    os.utime(folder / "lock", (time.time() - age,) * 2)
    return text


def ended_process():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_lock_is_held_while_training_and_gone_afterwards(tmp_path):
    with RunLock(tmp_path / "new/run"):
        owner = json.loads((tmp_path / "new/run/lock").read_text())
        assert (owner["pid"], owner["host"]) == (os.getpid(), socket.gethostname())
    assert list((tmp_path / "new/run").iterdir()) == []


def test_a_failed_training_gives_its_lock_back(tmp_path):
    with pytest.raises(ZeroDivisionError), RunLock(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_second_trainer_is_told_who_holds_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    with RunLock(tmp_path), pytest.raises(RunLockedError) as refused, RunLock(tmp_path):
        pass
    for part in (str(tmp_path), f"process {os.getpid()}", socket.gethostname(), "SLURM job 4711", "scancel 4711"):
        assert part in str(refused.value)
    assert not (tmp_path / "lock").exists(), "the first one's end is not disturbed"


def test_a_dead_owners_lock_is_taken_over(tmp_path):
    write_lock(tmp_path, pid=ended_process())
    with RunLock(tmp_path):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_an_owner_that_ended_without_being_waited_for_is_dead(tmp_path):
    zombie = subprocess.Popen(["true"])
    while "Z" not in Path(f"/proc/{zombie.pid}/stat").read_text().rpartition(")")[2]:
        time.sleep(0.01)
    write_lock(tmp_path, pid=zombie.pid)
    with RunLock(tmp_path):
        pass
    zombie.wait()


@pytest.mark.parametrize("owner", [{"host": "another-node", "pid": 1}, {}])
def test_an_owner_without_a_sign_of_life_loses_the_lock(tmp_path, owner):
    write_lock(tmp_path, age=locking.STALE_AFTER_SECONDS - 20, **owner)
    with pytest.raises(RunLockedError, match="last sign of life 100 s ago"), RunLock(tmp_path):
        pass
    write_lock(tmp_path, age=locking.STALE_AFTER_SECONDS + 1, **owner)
    with RunLock(tmp_path):
        pass


def test_an_owner_on_another_host_is_believed_while_its_heart_beats(tmp_path):
    write_lock(tmp_path, host="another-node", pid=ended_process())
    with pytest.raises(RunLockedError, match="another-node"), RunLock(tmp_path):
        pass


def test_an_unreadable_lock_counts_until_it_is_stale(tmp_path):
    (tmp_path / "lock").write_text("{")
    with pytest.raises(RunLockedError), RunLock(tmp_path):
        pass


def test_the_heart_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(locking, "HEARTBEAT_SECONDS", 0.01)
    with RunLock(tmp_path):
        os.utime(tmp_path / "lock", (0, 0))
        deadline = time.time() + 10
        while (tmp_path / "lock").stat().st_mtime == 0 and time.time() < deadline:
            time.sleep(0.01)
        assert (tmp_path / "lock").stat().st_mtime > 0


def test_an_owner_that_lost_its_lock_leaves_the_new_owners_alone(tmp_path):
    with RunLock(tmp_path):
        theirs = write_lock(tmp_path, host="another-node")
    assert (tmp_path / "lock").read_text() == theirs


def test_of_many_that_find_a_dead_lock_exactly_one_gets_it(tmp_path):
    contenders = 6
    for _ in range(40):
        write_lock(tmp_path, pid=ended_process())
        start, end, outcomes = threading.Barrier(contenders), threading.Barrier(contenders), []

        def compete(start=start, end=end, outcomes=outcomes):
            start.wait(10)
            try:
                with RunLock(tmp_path):
                    outcomes.append("won")
                    end.wait(10)
            except RunLockedError:
                outcomes.append("refused")
                end.wait(10)
            except OSError as error:
                outcomes.append(repr(error))

        threads = [threading.Thread(target=compete) for _ in range(contenders)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["refused"] * (contenders - 1) + ["won"]
        assert list(tmp_path.iterdir()) == []


def test_a_take_over_that_was_cut_off_does_not_block_the_run_for_good(tmp_path, monkeypatch):
    monkeypatch.setattr(locking, "TURN_SECONDS", 0.2)
    text = write_lock(tmp_path, pid=ended_process())
    (tmp_path / f".lock.after.{hashlib.sha256(text.encode()).hexdigest()[:16]}").touch()
    with RunLock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
