"""Build one benchmark: the file of its questions, and a manifest that says where they come from."""

from pathlib import Path

from generalthinker.config import Settings
from generalthinker.data.adapt import adapt
from generalthinker.data.fetch import fetch
from generalthinker.data.questions import digest, write_questions
from generalthinker.data.sources import get
from generalthinker.files import write_json


def build_benchmark(settings: Settings, name: str, out: Path, manifest: Path) -> None:
    """Write all questions of benchmark `name` to `out` (Parquet) and their description to `manifest` (JSON).

    The benchmark's `limit` is applied at generation and not here, because training must avoid all of its questions.
    Raises DataError if the dataset cannot be read or differs from the settings.
    """
    source = settings.benchmarks[name]
    fetched = fetch(source, settings.mirror, settings.data.seed)
    adapted = adapt(source, fetched)
    questions = adapted.questions
    record = {
        "benchmark": name,
        "dataset": source.dataset,
        "subset": source.subset,
        "split": source.split,
        "revision": source.revision,
        "commit": fetched.commit,
        "licence": get(source.adapter).LICENCE,
        "origin": fetched.origin,
        "rows_read": len(fetched.rows),
        "dropped": dict(adapted.dropped),
        "rows_written": len(questions),
        "sha256": digest(questions),
    }
    if fetched.origin == "synthetic":
        record["seed"] = settings.data.seed
    write_questions(out, questions, record)
    write_json(manifest, record)
