"""What a part of the check has found, and running a part in a process of its own."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from generalthinker.errors import StageError
from generalthinker.files import read_json

State = Literal["passed", "warning", "failed", "skipped"]
# Lines of a log that end a traceback, without the exception's module; not those that only say that others have failed.
ERROR = re.compile(r"^(?:\[rank\d+\]: ?)?(?:\w+\.)*(\w*(?:Error|Exception|Interrupt)\b.*)$", re.MULTILINE)
SECONDARY = re.compile(r"ChildFailedError|Engine core initialization failed")
SET_UP = "rm -rf .venv && make venv PLATFORM=cuda (PLATFORM=cpu without a GPU)"

# What to do about an error, by its text; the first that fits.
ADVICE = (
    (
        r"out of memory|OutOfMemoryError|MemoryError|cannot allocate memory",
        "lower training.micro_batch_size or training.vllm_memory_share (neither changes results), or take larger GPUs "
        "(docs/cluster.md, How many GPUs for a run)",
    ),
    (
        r"Free memory on device|No available memory for the cache blocks|larger than the maximum number of tokens",
        "see with nvidia-smi whether another process uses the GPU; if not, change training.vllm_memory_share, or "
        "training.further_memory_share for a method's further model",
    ),
    (r"No space left|DiskFull|is full", "free space on that disk"),
    (
        r"No module named|cannot import name|undefined symbol|cannot open shared object|GLIBC|DistributionNotFound",
        f"the environment is incomplete or mixed: {SET_UP}",
    ),
    (
        r"no kernel image|driver version is insufficient|driver on your system is too old|CUDA driver",
        "driver or GPU do not fit this torch: ask for a newer driver, or for another gpu_model in slurm/config.yaml",
    ),
    (
        r"NCCL|ProcessGroup|Gloo|TCPStore",
        "run it again with NCCL_DEBUG=INFO and read the log; NCCL_P2P_DISABLE=1 or NCCL_IB_DISABLE=1 shows whether the "
        "connection between the GPUs is at fault; gpu: 1 under train in slurm/config.yaml avoids it",
    ),
)


class NotTriedError(StageError):
    """A part cannot be tried on this machine or with these settings; the message is the reason."""


@dataclass(frozen=True)
class Part:
    """One line of the check's table: `found` says what was seen, `advice` what to do; `figures` go to the JSON file."""

    part: str
    state: State
    found: str
    advice: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """How a process ended: its report (what it had written, if it failed), and `error`, None if it succeeded."""

    report: dict[str, Any]
    error: str | None

    def failed(self, part: str, advice: str) -> Part:
        """Return the failed part; `advice` is what to do about an error that is not a known one."""
        assert self.error is not None
        known = next((text for pattern, text in ADVICE if re.search(pattern, self.error, re.IGNORECASE)), advice)
        return Part(part, "failed", self.error, known, self.report)


def run_work(
    work: str,
    *arguments: object,
    folder: Path,
    name: str,
    limit: float,
    launcher: list[str] | None = None,
    one_gpu: bool = False,
) -> Ended:
    """Run `python -m generalthinker.training.gpu_check WORK REPORT ARGUMENT …` for at most `limit` seconds.

    Its output goes to `folder`/`name`.log. `launcher` stands for the Python interpreter, to start several processes.
    With `one_gpu` it sees one GPU: transformers would otherwise spread a single process's batch over all of them.
    Raises NotTriedError if the process says so.
    """
    report, log = folder / f"{name}.json", folder / f"{name}.log"
    report.unlink(missing_ok=True)
    command = [*(launcher or [sys.executable]), "-m", "generalthinker.training.gpu_check", work, report, *arguments]
    environment = dict(os.environ)
    if one_gpu:
        environment["CUDA_VISIBLE_DEVICES"] = environment.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [str(word) for word in command], env=environment, stdout=file, stderr=subprocess.STDOUT
        )
        try:
            error = _error(process.wait(limit), log)
        except subprocess.TimeoutExpired:
            error = f"still ran after {limit:g} s"
        finally:
            _kill(process)
    content = read_json(report) if report.exists() else {}
    if "not_tried" in content:
        raise NotTriedError(content["not_tried"])
    return Ended(content, content.get("error", error))


def last_error(text: str) -> str:
    """Return the last line of a log that names an error, else its last line with a word.

    >>> last_error("[rank0]: ValueError: no\\n  ChildFailedError:\\n=====")
    'ValueError: no'
    """
    errors = [line.strip() for line in ERROR.findall(text) if not SECONDARY.search(line)]
    lines = [line.strip() for line in text.splitlines() if re.search(r"\w", line)]
    return (errors or lines or ["it wrote nothing"])[-1]


def _error(code: int, log: Path) -> str | None:
    if code == 0:
        return None
    text = log.read_text(encoding="utf-8", errors="replace")
    if code > 0:
        return last_error(text)
    return f"killed by {signal.Signals(-code).name}" + (f"; last line: {last_error(text)}" if text else "")


def _kill(process: subprocess.Popen) -> None:
    """End a process and all that it has started; torchrun gives its processes sessions of their own."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    for member in [*family, process]:
        try:
            member.kill()
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
    process.wait()
