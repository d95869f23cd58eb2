"""What decides each expensive result: settings, content hashes of the inputs, and versions of the code that makes it.

A result's identity is the same on every machine and for every name that the result may lie under. `key` leaves the code
out: results with one key and different identities are the same work done by different code.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generalthinker.code_versions import Code, code_of_generation, code_of_model, code_of_run
from generalthinker.config.settings import Settings
from generalthinker.files import read_json
from generalthinker.paths import Layout
from generalthinker.provenance import file_hash
from generalthinker.records import RunSpec, slug

QUESTION_COLUMNS = ("question", "answer", "answer_type", "options")
HASHED_BELOW_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Identity:
    """One result: `label` names it, `deciding` are settings and inputs, `code` the versions of the code."""

    kind: str
    label: str
    deciding: dict[str, Any]
    code: Code

    @property
    def key(self) -> str:
        """A short hash of settings and inputs alone."""
        return _short_hash({"kind": self.kind, "deciding": self.deciding})

    @property
    def hash(self) -> str:
        """A short hash of everything."""
        return _short_hash({"kind": self.kind, "deciding": self.deciding, "code": self.code})


def identity_of_run(settings: Settings, run: RunSpec) -> Identity:
    """Return the identity of a trained run; its questions and models must be there."""
    layout = Layout(settings.results)
    deciding = settings.training_identity(run) | {"train": questions_hash(layout.train)}
    if settings.training.validate_every:
        deciding["validation"] = questions_hash(layout.validation)
    method = settings.method(run)
    entries = {"policy": run.model, **method.models}
    deciding["weights"] = {role: weights_hash(Path(layout.model(slug(entry)))) for role, entry in entries.items()}
    return Identity("runs", run.name, deciding, code_of_run(method))


def identity_of_generation(settings: Settings, run: RunSpec, suite: str, benchmark: str) -> Identity:
    """Return the identity of the responses of one run to one benchmark."""
    layout = Layout(settings.results)
    adapter = Path(layout.adapter(run.name)) / "adapter_model.safetensors"
    deciding = settings.generation_identity(benchmark) | {
        "weights": weights_hash(Path(layout.model(slug(run.model)))),
        "adapter": file_hash(adapter) if run.seed is not None else None,
        "questions": questions_hash(layout.benchmark(slug(benchmark))),
    }
    return Identity("generations", f"{run.name}/{slug(suite)}/{slug(benchmark)}", deciding, code_of_generation())


def identity_of_model(settings: Settings, model: str) -> Identity:
    """Return the identity of a model that is built here."""
    return Identity("models", slug(model), settings.model_identity(model), code_of_model(settings.models[model].kind))


def questions_hash(path: str | Path) -> str:
    """Return the SHA-256 of what a training or an evaluation reads of a question file, in the file's order."""
    import pyarrow.parquet as pq

    rows = pq.read_table(path, columns=list(QUESTION_COLUMNS)).to_pylist()
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def weights_hash(model_folder: Path) -> dict[str, str]:
    """Return what tells these weights from others: hashes, or the commit where the files are large and pinned."""
    files = sorted(model_folder.glob("*.safetensors"))
    snapshot = model_folder / "snapshot.json"
    pinned = read_json(snapshot)["commit"] if snapshot.exists() else None
    return {
        path.name: file_hash(path)
        if pinned is None or path.stat().st_size < HASHED_BELOW_BYTES
        else f"{path.stat().st_size} bytes of commit {pinned}"
        for path in files
    }


def _short_hash(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
