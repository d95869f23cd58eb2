"""A full disk: one message, nothing half-written, and the same command completes once there is room.

The tests fill a small disk in memory, which only root can mount.
"""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

import tiny
from generalthinker import cli
from generalthinker.config.load import freeze
from generalthinker.data import hub
from generalthinker.disk import DiskFullError, described, is_full
from generalthinker.files import replacing, write_json, write_parquet
from generalthinker.generation import stage
from generalthinker.generation.base import Generated
from generalthinker.joblog import open_attempt
from generalthinker.keeping import Store
from generalthinker.lock import FolderLock
from generalthinker.paths import Layout
from generalthinker.records import slug

ROOT = Path(__file__).parent.parent
MEGABYTES = 4


class SmallDisk:
    """A disk of a few MB that can be filled up to some kB, and freed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.filler = folder, folder / "filler"

    def fill(self, leave_kb: int = 0) -> None:
        with self.filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                file.truncate(file.tell() - 1024 * leave_kb)

    def free(self) -> None:
        self.filler.unlink()

    def files(self) -> set[str]:
        """Return everything on the disk, empty folders aside."""
        found = (path for path in self.folder.rglob("*") if not path.is_dir() and path != self.filler)
        return {str(path.relative_to(self.folder)) for path in found}


@pytest.fixture
def disk(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", folder]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting a small disk failed: {done.stderr.strip()}")
    yield SmallDisk(folder)
    subprocess.run(["umount", "--lazy", folder], check=True)


def command(*arguments, **environment):
    """Run `generalthinker` as a user does."""
    call = [sys.executable, "-m", "generalthinker.cli", *map(str, arguments)]
    return subprocess.run(
        call, cwd=ROOT, env=tiny.environment(**environment), capture_output=True, text=True, timeout=300
    )


def is_one_message(text: str, path: Path) -> bool:
    """Return whether `text` ends with one error that names the full disk, a path on it, and what to do."""
    parts = ["error: no space left on device", f"{path}", "MB are free there", "start the same command again"]
    return all(part in text for part in parts) and text.count("error: ") == 1 and "Traceback" not in text


def write_safetensors(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"weights": torch.zeros(2_000_000)}, path)


def write_torch(path: Path) -> None:
    import torch

    torch.save({"weights": torch.zeros(2_000_000)}, path)


def write_figure(path: Path) -> None:
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(40, 40))
    figure.figimage(np.random.default_rng(1).random((4000, 4000)))
    figure.savefig(path)


WRITERS = {
    "safetensors": write_safetensors,
    "torch.pt": write_torch,
    "figure.png": write_figure,
    "text": lambda path: path.write_text("x" * 8_000_000),
    "table.csv": lambda path: pd.DataFrame({"x": range(2_000_000)}).to_csv(path),
    "table.parquet": lambda path: write_parquet(path, pd.DataFrame({"x": [os.urandom(9) for _ in range(900_000)]})),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("leave_kb", [0, 200])
def test_every_writer_names_the_full_disk_and_leaves_nothing(disk, name, leave_kb):
    disk.fill(leave_kb)
    with (
        pytest.raises(DiskFullError, match=f"{disk.folder / name} could not be written; .* free there"),
        replacing(disk.folder / name) as temporary,
    ):
        WRITERS[name](temporary)
    assert disk.files() == set()


def test_locks_logs_and_kept_results_leave_nothing_on_a_full_disk(disk):
    from generalthinker.identity import Identity

    disk.fill()
    with pytest.raises(DiskFullError), FolderLock(disk.folder / "run"):
        pass
    with pytest.raises(OSError, match="No space left"):
        open_attempt(disk.folder / "logs/a.log")
    identity = Identity("runs", "small/run", {}, {})
    with (
        pytest.raises(DiskFullError, match=r"kept/runs/[0-9a-f]{16} could"),
        Store(disk.folder).keeping(identity) as folder,
    ):
        write_json(folder / "run.json", {})
    assert disk.files() == set()


def test_a_download_to_a_full_disk_names_the_cache(monkeypatch):
    import huggingface_hub

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    with pytest.raises(DiskFullError, match=f"{hub.cache().absolute()} could not be written"):
        hub.snapshot(hub.Repository("model", "Qwen/Qwen2.5-1.5B", "main"))


def test_other_errors_are_not_taken_for_a_full_disk():
    assert not is_full(RuntimeError("unexpected pos"))
    assert not is_full(OSError(2, "No such file or directory", "a"))
    assert described(ValueError("wrong")) is None
    error = ValueError("wrapped")
    error.__cause__ = OSError(28, "No space left on device", "/results/a")
    assert "/results/a could not be written" in described(error)
    assert "does not name (No space left on device (os error 28))" in described(
        RuntimeError("No space left on device (os error 28)")
    )
    assert described(PermissionError(13, "Permission denied", "/results/a")) == "/results/a: permission denied"


def test_a_table_on_a_full_disk(disk, tmp_path):
    (tmp_path / "mine.yaml").write_text(f"results: {disk.folder}/results")
    settings = f"config/demo.yaml,{tmp_path}/mine.yaml"
    disk.fill()
    log = disk.folder / "results/logs/table/table7.log"
    for log_option in ([], ["--log", log]):
        done = command(*log_option, "table", "table7", "--settings", settings)
        assert done.returncode == 1
        assert is_one_message(done.stderr, disk.folder / "results"), done.stderr
        assert disk.files() == set()
    disk.free()
    done = command("table", "table7", "--settings", settings)
    assert done.returncode == 0, done.stderr
    assert disk.files() == {f"results/table7.{suffix}" for suffix in ("csv", "md", "tex")}


class Talkative:
    """Answers every question with a text that does not compress, and counts the benchmarks it has answered."""

    description = {"engine": "talkative", "engine_version": "1"}  # noqa: RUF012

    def __init__(self):
        self.answered = 0

    def generate(self, prompts, max_new_tokens, decodings=None):
        for place, of_benchmark in enumerate(prompts):
            self.answered += 1
            yield place, [Generated(os.urandom(100_000).hex(), 3, False) for _ in of_benchmark]


def test_a_generation_on_a_full_disk_keeps_the_finished_benchmarks(disk, tmp_path, tiny_model, monkeypatch, capsys):
    (tmp_path / "settings").mkdir()
    small = tiny.settings(tmp_path / "settings", tiny_model)
    settings = small.model_copy(update={"results": str(disk.folder / "results")})
    layout = Layout(settings.results)
    Path(layout.model("small")).parent.mkdir(parents=True)
    Path(layout.model("small")).symlink_to(tiny_model)
    for place, name in enumerate(settings.suite_benchmarks("toys")):
        questions = pd.DataFrame(tiny.questions(8)).assign(source="Synthetic")
        write_parquet(layout.benchmark(slug(name)), questions[place : place + 1], {"benchmark": name})
    frozen, before = freeze(settings), disk.files()
    engine = Talkative()
    whole = partial(stage.generate_suite, open_session=lambda *_: engine)
    monkeypatch.setattr(stage, "generate_suite", whole)
    for name in ("OMP_NUM_THREADS", "HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(sys, "argv", ["generalthinker", "generate", "small/Base", "toys", "--settings", str(frozen)])

    def generate() -> int:
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code

    disk.fill(leave_kb=700)  # three of eight benchmarks
    assert generate() == 1
    assert is_one_message(capsys.readouterr().err, disk.folder / "results/kept/generations")
    kept = {Path(file).parent for file in disk.files() - before}
    assert 1 <= len(kept) <= 5
    assert {Path(file).name for file in disk.files() - before} == {"responses.parquet", "kept.json"}
    assert engine.answered == len(kept) + 1
    disk.free()
    assert generate() == 0
    assert engine.answered == 8 + 1, "only what was missing is generated"
    assert Path(layout.generations("small/Base", "toys")).exists()


@pytest.mark.slow
@pytest.mark.parametrize("leave_kb", [60, 150, 400])
def test_a_training_on_a_full_disk_continues_from_its_last_checkpoint(disk, tmp_path, tiny_model, leave_kb):
    (tmp_path / "settings").mkdir()
    small = tiny.settings(tmp_path / "settings", tiny_model, max_steps=3, keep_checkpoints=2)
    [run] = small.runs(tiny.choice("GeneralThinker"))
    settings = small.model_copy(update={"results": str(disk.folder / "results")})
    layout, elsewhere = Layout(settings.results), Layout(small.results)
    for file in ("train", "validation"):
        Path(getattr(layout, file)).parent.mkdir(parents=True, exist_ok=True)
        Path(getattr(layout, file)).write_bytes(Path(getattr(elsewhere, file)).read_bytes())
    Path(layout.model("small")).parent.mkdir(parents=True)
    Path(layout.model("small")).symlink_to(tiny_model)
    frozen = freeze(settings)
    disk.fill(leave_kb)
    done = command("train", run.name, "--settings", frozen)
    assert done.returncode == 1, done.stderr[-3000:]
    assert is_one_message(done.stderr, Path(layout.run(run.name))), done.stderr[-3000:]
    left = list(Path(layout.run(run.name)).glob("checkpoints/*/checkpoint-*"))
    assert all((checkpoint / "complete.json").exists() for checkpoint in left)
    assert not [file for file in disk.files() if ".tmp" in file or "/lock" in file or "/.lock" in file]
    disk.free()
    done = command("train", run.name, "--settings", frozen)
    assert done.returncode == 0, done.stderr[-3000:]
    assert Path(layout.adapter(run.name)).is_dir()
