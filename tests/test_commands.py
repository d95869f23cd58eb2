"""The command line before the work: what is wrong with the settings' surroundings is said at once and alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import tiny
from generalthinker import __version__
from generalthinker.config.training import TrainingSettings
from generalthinker.disk import UnwritableError, require_writable
from generalthinker.files import write_parquet
from generalthinker.paths import Layout
from generalthinker.training.launcher import ReporterError, require_reporter

ROOT = Path(__file__).parent.parent
RUN = "small/GeneralThinker_strength-0.1_clip-2.0_seed-1"
TRACKERS = "--no-deps -r envs/trackers.lock"


def call(*arguments, **environment):
    """Run `generalthinker` as a user does."""
    command = [sys.executable, "-m", "generalthinker.cli", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=tiny.environment(**environment), capture_output=True, text=True, timeout=120
    )


def demo_with(folder: Path, text: str) -> str:
    (folder / "mine.yaml").write_text(text)
    return f"config/demo.yaml,{folder}/mine.yaml"


def snakemake(settings: str, *arguments):
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--nolock", "--configfile", *settings.split(",")]
    return subprocess.run([*command, "--", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_the_version_is_printed():
    done = call("--version")
    assert (done.returncode, done.stdout) == (0, f"generalthinker {__version__}\n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("generalthinker walk", ["walkthrough"]),
        ("generalthinker train --oth", ["--other-code"]),
        ("generalthinker train --settings config/demo.yaml small/GeneralThinker_strength-0.1", [RUN]),
        ("generalthinker train --settings missing.yaml small", []),
    ],
)
def test_the_shell_completes_commands_options_and_runs(words, expected):
    shell = {"_GENERALTHINKER_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    command = [Path(sys.executable).parent / "generalthinker"]
    done = subprocess.run(command, cwd=ROOT, env=tiny.environment(**shell), capture_output=True, text=True, timeout=120)
    assert (done.stdout.split(), done.stderr) == (expected, "")


@pytest.mark.parametrize("arguments", [("check",), ("table", "table7"), ("train", RUN), ("generate", RUN, "toys")])
def test_results_that_are_a_file_are_named_before_any_work(tmp_path, arguments):
    (tmp_path / "file").write_text("mine")
    done = call(*arguments, "--settings", demo_with(tmp_path, f"results: {tmp_path}/file/results"))
    assert done.returncode == 1
    assert f"expected a folder, but {tmp_path}/file is a file" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_a_link_to_a_lost_disk_is_named(tmp_path):
    (tmp_path / "results").symlink_to(tmp_path / "unmounted/results")
    with pytest.raises(UnwritableError, match=r"results is a link to .*unmounted/results, which does not exist"):
        require_writable(tmp_path / "results")


@pytest.mark.parametrize("results", ["", "results"], ids=["the folder exists", "it does not exist yet"])
def test_results_that_cannot_be_written_are_named(tmp_path, results):
    place = tmp_path / "mine"
    place.mkdir()
    mounted = os.geteuid() == 0
    if mounted:  # root may write to any folder, but not to a disk that is mounted for reading
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", place], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"mounting a disk for the test failed: {done.stderr.strip()}")
    else:
        place.chmod(0o555)
    try:
        with pytest.raises(UnwritableError, match=f"{place} cannot be written"):
            require_writable(place / results)
        settings = demo_with(tmp_path, f"results: {place / results}")
        for arguments in (("check",), ("table", "table7")):
            done = call(*arguments, "--settings", settings)
            assert done.returncode == 1
            assert f"{place} cannot be written" in done.stderr
            assert "Traceback" not in done.stderr
    finally:
        if mounted:
            subprocess.run(["umount", place], check=True)
        else:
            place.chmod(0o755)


def test_the_check_of_the_results_leaves_nothing(tmp_path):
    require_writable(tmp_path / "new/results")
    require_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_snakemake_names_unwritable_results_and_a_missing_reporter_before_any_job(tmp_path):
    (tmp_path / "file").write_text("mine")
    for text, words in (
        (f"results: {tmp_path}/file", "file is a file"),
        (
            f"results: {tmp_path}/results\ntraining: {{report_to: trackio}}",
            f"pip install {TRACKERS}",
        ),
    ):
        if "trackio" in text and _installed("trackio"):
            continue
        done = snakemake(demo_with(tmp_path, text), "tables")
        assert done.returncode != 0
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert "Started jobs" not in done.stderr


@pytest.mark.parametrize(
    ("package", "what"),
    [
        ("tensorboard", TRACKERS),
        ("trackio", TRACKERS),
        ("wandb",) * 2,
    ],
)
def test_a_reporter_that_is_not_installed_is_named_with_the_command(package, what, monkeypatch):
    monkeypatch.setattr("generalthinker.training.launcher.find_spec", lambda name: None)
    with pytest.raises(ReporterError, match=rf"report_to = {package} .*\n .* -m pip install {what}\n"):
        require_reporter(TrainingSettings(report_to=package))
    require_reporter(TrainingSettings(report_to="none"))


@pytest.mark.parametrize("arguments", [("check",), ("train", RUN)])
def test_a_missing_reporter_stops_before_torch_is_imported(tmp_path, arguments):
    package = next((name for name in ("trackio", "wandb", "tensorboard") if not _installed(name)), None)
    if package is None:
        pytest.skip("trackio, wandb and tensorboard are all installed")
    settings = demo_with(tmp_path, f"results: {tmp_path}/results\ntraining: {{report_to: {package}}}")
    # A torch that cannot be imported stands first on the path.
    (tmp_path / "torch.py").write_text("raise RuntimeError('torch was imported')")
    _lay_out(tmp_path / "results")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = call(*arguments, "--settings", settings, PYTHONPATH=path)
    assert done.returncode == 1
    assert f"training.report_to = {package} needs" in done.stderr
    assert "torch was imported" not in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_configuration_file_is_named(tmp_path):
    for content, words in (
        (b"", "the file is empty"),
        (b"# only a comment\n", "the file is empty"),
        (b"a: [1", "not valid YAML"),
        (b"\xff\xfe\x00", "cannot be read as a text file"),
    ):
        (tmp_path / "broken.yaml").write_bytes(content)
        done = call("check", "--settings", f"config/demo.yaml,{tmp_path}/broken.yaml")
        assert done.returncode == 1
        assert f"{tmp_path}/broken.yaml: {words}" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", ["", "a: [1"], ids=["empty", "broken"])
def test_snakemake_names_a_broken_default_configuration(tmp_path, content):
    for place in ("workflow", "Snakefile"):
        (tmp_path / place).symlink_to(ROOT / place)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text(content)
    command = [sys.executable, "-m", "snakemake", "--snakefile", tmp_path / "Snakefile", "-n"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "config/config.yaml: " in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "OMP_THREAD_LIMIT"])
def test_make_uses_all_cores_whatever_openmp_is_told(variable):
    cores = len(os.sched_getaffinity(0))
    others = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "MAKE"))}
    for threads in {1, cores + 1}:
        environment = others | {"OMP_NUM_THREADS": str(cores + 1), variable: str(threads)}
        done = subprocess.run(["make", "-n", "demo"], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert f"snakemake --cores {cores} " in done.stdout


def _installed(package: str) -> bool:
    try:
        require_reporter(TrainingSettings(report_to=package))
    except ReporterError:
        return False
    return True


def _lay_out(results: Path) -> None:
    """Write what a run's identity is made from."""
    layout = Layout(str(results))
    for file in (layout.train, layout.validation):
        write_parquet(file, pd.DataFrame(tiny.questions(2)))
    Path(layout.model("small")).mkdir(parents=True)
