"""One process per piece of work: who holds the lock, who waits, and when the lock passes on."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from generalthinker import lock as locking
from generalthinker.lock import FolderLock, is_held


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
    with FolderLock(tmp_path / "new/run"):
        owner = json.loads((tmp_path / "new/run/lock").read_text())
        assert (owner["pid"], owner["host"]) == (os.getpid(), socket.gethostname())
    assert list((tmp_path / "new/run").iterdir()) == []


def test_a_failed_training_gives_its_lock_back(tmp_path):
    with pytest.raises(ZeroDivisionError), FolderLock(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


class Waiter(threading.Thread):
    """Takes the lock of a folder, holds it until told and gives it back."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.folder, self.got, self.release = folder, threading.Event(), threading.Event()

    def run(self):
        with FolderLock(self.folder):
            self.got.set()
            self.release.wait(20)

    def end(self):
        self.release.set()
        self.join(20)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(locking, "LOOK_SECONDS", 0.02)


def test_a_second_process_waits_and_says_for_whom(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    caplog.set_level("INFO")
    waiter = Waiter(tmp_path)
    with FolderLock(tmp_path):
        waiter.start()
        assert not waiter.got.wait(0.3)
        assert is_held(tmp_path)
    assert waiter.got.wait(10), "it takes over as soon as the first has ended"
    waiter.end()
    for part in (str(tmp_path), f"process {os.getpid()}", socket.gethostname(), "SLURM job 4711", "waiting"):
        assert part in caplog.text
    assert not is_held(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_handed_to_the_process_that_is_started(tmp_path, monkeypatch):
    with FolderLock(tmp_path) as parent:
        parent.hand_over()
        token = os.environ.pop(locking.TOKEN_VARIABLE)
        with FolderLock(tmp_path, token):
            assert json.loads((tmp_path / "lock").read_text())["token"] == token
            waiter = Waiter(tmp_path)
            waiter.start()
            assert not waiter.got.wait(0.2), "to all others it is held"
        waiter.got.wait(10)
        waiter.end()


def test_a_reused_process_number_is_not_the_owner(tmp_path):
    write_lock(tmp_path, pid=os.getpid(), process_start="1")
    with FolderLock(tmp_path):
        pass


def test_a_dead_owners_lock_is_taken_over(tmp_path):
    write_lock(tmp_path, pid=ended_process())
    with FolderLock(tmp_path):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_an_owner_that_ended_without_being_waited_for_is_dead(tmp_path):
    zombie = subprocess.Popen(["true"])
    while "Z" not in Path(f"/proc/{zombie.pid}/stat").read_text().rpartition(")")[2]:
        time.sleep(0.01)
    write_lock(tmp_path, pid=zombie.pid)
    with FolderLock(tmp_path):
        pass
    zombie.wait()


@pytest.mark.parametrize("owner", [{"host": "another-node", "pid": 1}, {"host": "another-node", "pid": None}])
def test_the_lock_of_another_host_is_waited_for_until_it_is_stale(tmp_path, monkeypatch, owner):
    monkeypatch.setattr(locking, "STALE_AFTER_SECONDS", 1.0)
    write_lock(tmp_path, **owner)
    waiter = Waiter(tmp_path)
    waiter.start()
    assert not waiter.got.wait(0.5)
    assert waiter.got.wait(10)
    waiter.end()


def test_an_unreadable_lock_counts_until_it_is_stale(tmp_path, monkeypatch):
    monkeypatch.setattr(locking, "STALE_AFTER_SECONDS", 1.0)
    (tmp_path / "lock").write_text("{")
    waiter = Waiter(tmp_path)
    waiter.start()
    assert not waiter.got.wait(0.5)
    assert waiter.got.wait(10)
    waiter.end()


def test_the_heart_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(locking, "HEARTBEAT_SECONDS", 0.01)
    with FolderLock(tmp_path):
        os.utime(tmp_path / "lock", (0, 0))
        deadline = time.time() + 10
        while (tmp_path / "lock").stat().st_mtime == 0 and time.time() < deadline:
            time.sleep(0.01)
        assert (tmp_path / "lock").stat().st_mtime > 0


def test_an_owner_that_lost_its_lock_leaves_the_new_owners_alone(tmp_path):
    with FolderLock(tmp_path):
        theirs = write_lock(tmp_path, host="another-node")
    assert (tmp_path / "lock").read_text() == theirs


def test_of_many_that_see_a_stale_lock_one_has_it_at_a_time(tmp_path):
    for _ in range(20):
        write_lock(tmp_path, pid=ended_process())
        inside, most = [], []

        def compete(inside=inside, most=most):
            with FolderLock(tmp_path):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.005)
                inside.pop()

        threads = [threading.Thread(target=compete) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == [1] * 6
        assert list(tmp_path.iterdir()) == []


def test_a_take_over_that_was_cut_off_does_not_block_the_run_for_good(tmp_path, monkeypatch):
    monkeypatch.setattr(locking, "TAKE_OVER_SECONDS", 0.2)
    text = write_lock(tmp_path, pid=ended_process())
    (tmp_path / f".lock.after.{hashlib.sha256(text.encode()).hexdigest()[:16]}").touch()
    with FolderLock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


WAIT = """
import sys
from generalthinker import cli
from generalthinker.lock import FolderLock

@cli.app.command()
def wait(folder: str) -> None:
    with FolderLock(folder):
        print("got it")

cli.main()
"""


def test_ctrl_c_ends_the_waiting_at_once_and_says_for_whom_it_waited(tmp_path, monkeypatch):
    monkeypatch.setenv(locking.LOG_VARIABLE, "logs/train/run.log.1")
    with FolderLock(tmp_path):
        command = [sys.executable, "-c", WAIT, "wait", tmp_path]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while len(list(tmp_path.iterdir())) < 2:
            assert process.poll() is None
        line = process.stderr.readline()
        assert "waiting until it ends" in line
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=5)
        assert (process.returncode, out) == (1, "")
        assert f"error: stopped while waiting: {tmp_path}: process {os.getpid()} on" in error
        assert "its log: logs/train/run.log.1" in line
        assert "its log: logs/train/run.log.1" in error
        assert "Traceback" not in error
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]
