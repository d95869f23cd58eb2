"""One benchmark: its questions as a file, and a manifest that says exactly which."""

from pathlib import Path

from generalthinker.config import Settings
from generalthinker.data.adapt import adapt
from generalthinker.data.fetch import fetch
from generalthinker.data.questions import digest, write_questions
from generalthinker.data.sources import get
from generalthinker.files import write_json


def build_benchmark(settings: Settings, name: str, out: Path, manifest: Path) -> None:
    """Write all questions of benchmark `name` to `out` (Parquet) and what they are to `manifest` (JSON).

    The benchmark's `limit` is not applied here: it belongs to generation, and training must avoid every question.
    Raises DataError if the dataset cannot be had or is not as configured.
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
