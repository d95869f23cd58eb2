"""What a training does before any process is launched and any framework is imported: look for work that is done.

The kept result of the same identity is put back. Work of other code is neither redone nor continued unless the user
says so.
"""

import logging
import os
import shutil
import socket
from pathlib import Path
from typing import Any

from generalthinker.code_versions import differences
from generalthinker.config.settings import Settings
from generalthinker.config.training import TrainingSettings
from generalthinker.files import read_json, write_json
from generalthinker.identity import Identity
from generalthinker.keeping import KeptResult, OtherCode, OtherCodeError, Store, link
from generalthinker.paths import Layout
from generalthinker.records import RunSpec
from generalthinker.vllm_environment import set_vllm_environment

SESSIONS = "sessions.json"
MADE_BY = "identity.json"
logger = logging.getLogger(__name__)


def prepare_vllm(training: TrainingSettings) -> None:
    """Set vLLM's environment, or keep TRL from importing vLLM; call it before TRL's trainer is imported.

    TRL imports vLLM wherever it is installed. That is 40 % of the time that all imports of a training take.
    """
    if training.rollout_engine == "vllm":
        set_vllm_environment()
        if "RANK" not in os.environ:
            # TRL would take 29500 if it is free at this moment: two trainings that start together would both take it.
            with socket.socket() as probe:
                probe.bind(("", 0))
                os.environ.setdefault("MASTER_PORT", str(probe.getsockname()[1]))
    else:
        from trl import import_utils

        import_utils.is_vllm_available = lambda min_version=None: False


def prepare_trackio(settings: Settings) -> None:
    """Tell Trackio where to write, unless its user says so; call it before TRL's trainer is imported.

    TRL imports Trackio wherever it is installed, and Trackio reads the variable when it is imported.
    """
    os.environ.setdefault("TRACKIO_DIR", str(Path(Layout(settings.results).tracking("trackio")).absolute()))


def checkpoints_of(layout: Layout, run: RunSpec) -> Path:
    """Return the folder of a run's checkpoints; below it, one folder per identity."""
    return Path(layout.run(run.name)) / "checkpoints"


def sessions(checkpoints: Path) -> list[dict[str, Any]]:
    """Return the starts of a training so far, with processes and hardware of each."""
    return read_json(checkpoints / SESSIONS) if (checkpoints / SESSIONS).exists() else []


def finished_before(settings: Settings, run: RunSpec, identity: Identity, other_code: OtherCode) -> bool:
    """Put back the kept result of `run` if there is one, and return whether there was; the caller holds the lock.

    Raises OtherCodeError where the same run was finished or begun by other code and `other_code` is "ask".
    """
    store, layout = Store(settings.results), Layout(settings.results)
    begun = checkpoints_of(layout, run) / identity.hash
    kept = store.find(identity) if begun.exists() else store.find_or_ask(identity, other_code)
    others = None if kept or begun.exists() or other_code == "redo" else _begun_by_other_code(layout, run, identity)
    if others:
        code = read_json(others / MADE_BY)["code"]
        if other_code == "ask":
            raise OtherCodeError(identity, code, f"run was begun by other code ({others})")
        logger.info("%s: continuing checkpoints of other code: %s", run.name, differences(code, identity.code))
        others.rename(begun)
        write_json(begun / MADE_BY, {"key": identity.key, "code": identity.code, "continued_from": code})
    if kept is None and _lies_finished(layout, run, identity):
        with store.keeping(identity) as folder:
            for name, place in places_of(layout, run).items():
                link(place, folder / name)
        kept = store.find(identity)
    if kept is not None:
        put_back(store, kept, layout, run)
        return True
    begun.mkdir(parents=True, exist_ok=True)
    if not (begun / MADE_BY).exists():
        write_json(begun / MADE_BY, {"key": identity.key, "code": identity.code})
    return False


def put_back(store: Store, kept: KeptResult, layout: Layout, run: RunSpec) -> None:
    """Link a kept run to its declared places and delete its checkpoints.

    The adapter is linked last: its presence marks a finished run.
    """
    adapter = Path(layout.adapter(run.name)) / "adapter_model.safetensors"
    source = kept.folder / "adapter" / "adapter_model.safetensors"
    places = places_of(layout, run)
    if adapter.exists() and adapter.samefile(source) and all(Path(path).exists() for path in places.values()):
        logger.info("%s: already trained; nothing to do", run.name)
    else:
        store.put_back(kept, places)
        logger.info("%s: finished; its result is linked from %s", run.name, kept.folder)
    shutil.rmtree(checkpoints_of(layout, run), ignore_errors=True)


def places_of(layout: Layout, run: RunSpec) -> dict[str, str | Path]:
    """Return where each part of a finished run is expected, the adapter last."""
    return {
        "history.parquet": layout.history(run.name),
        "timing.parquet": layout.timing(run.name),
        "run.json": layout.run_record(run.name),
        "adapter": layout.adapter(run.name),
    }


def _lies_finished(layout: Layout, run: RunSpec, identity: Identity) -> bool:
    """Return whether the run lies finished where it is expected although the store has lost it."""
    if not all(Path(place).exists() for place in places_of(layout, run).values()):
        return False
    record = read_json(layout.run_record(run.name))
    return record.get("identity") == identity.deciding and record.get("code") == identity.code


def _begun_by_other_code(layout: Layout, run: RunSpec, identity: Identity) -> Path | None:
    """Return the newest checkpoints folder of the same settings and inputs that other code began."""
    records = sorted(
        checkpoints_of(layout, run).glob(f"*/{MADE_BY}"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    return next((path.parent for path in records if read_json(path)["key"] == identity.key), None)
