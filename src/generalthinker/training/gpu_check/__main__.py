"""The check's work that may hang or end its process, one function per process; `outcome.py: run_work` starts it.

python -m generalthinker.training.gpu_check WORK REPORT ARGUMENT …
"""

import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from generalthinker.config.load import load_frozen
from generalthinker.errors import StageError
from generalthinker.files import write_json, write_parquet
from generalthinker.paths import Layout
from generalthinker.training.gpu_check.outcome import NotTriedError


def main(work: str, report: str, *arguments: str) -> None:
    """Do `work` and write what it found to `report`; the first of several processes writes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    first = os.environ.get("RANK", "0") == "0"

    def write(found: dict[str, Any]) -> None:
        if first:
            write_json(report, found)

    try:
        write(WORK[work](write, *arguments))
    except NotTriedError as reason:
        write({"not_tried": str(reason)})
    except StageError as error:
        write({"error": str(error)})
        raise


def _gpus(write: Any) -> dict[str, Any]:
    from generalthinker.training.gpu_check.machine import describe_gpus

    return describe_gpus()


def _imports(write: Any, lines: str, names: str) -> dict[str, Any]:
    from generalthinker.training.gpu_check.machine import import_all

    import_all(json.loads(names), Path(lines))
    return {}


def _model(write: Any, settings_file: str, name: str, downloaded: str, out: str) -> dict[str, Any]:
    import pandas as pd
    import torch

    from generalthinker.training.gpu_check.models import prepare
    from generalthinker.training.gpu_check.sums import sums

    settings = load_frozen(settings_file)
    train = Path(Layout(settings.results).train)
    if not train.exists():
        write_parquet(train, pd.DataFrame(sums(4 * settings.training.batch_size // settings.training.group_size)))
    dtype = torch.bfloat16 if settings.training.precision == "bf16" else torch.float32
    return prepare(settings.models[name], Path(downloaded), Path(out), dtype)


def _steps(write: Any, settings_file: str, run: str, folder: str, kind: str, random: str) -> dict[str, Any]:
    from generalthinker.training.launcher import require_rollout_engine, visible_gpus

    settings = load_frozen(settings_file)
    if kind == "rollouts":
        require_rollout_engine(settings.training)
    from generalthinker.training.gpu_check.step import measure

    # Several processes without GPUs only try the communication.
    sample = kind == "rollouts" or (kind == "processes" and visible_gpus() > 0)
    replay = not sample or random == "True"
    return measure(settings, settings.run(run), Path(folder), sample=sample, replay=replay, report=write)


WORK: dict[str, Callable[..., dict[str, Any]]] = {"gpus": _gpus, "imports": _imports, "model": _model, "steps": _steps}

if __name__ == "__main__":
    main(*sys.argv[1:])
