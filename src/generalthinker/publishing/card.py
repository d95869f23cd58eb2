"""The model card of an adapter: `README.md` with the metadata that the hub reads, all of it from the run's files."""

import inspect
import sys
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

from generalthinker.config.data import HubModelSettings
from generalthinker.config.settings import Settings
from generalthinker.config.training import max_lora_rank
from generalthinker.files import read_json
from generalthinker.methods import FAMILIES, Method
from generalthinker.paths import Layout
from generalthinker.publishing.source import BaseModel
from generalthinker.records import RunSpec, slug
from generalthinker.reporting.cells import untrained
from generalthinker.reporting.measure import GradeFiles, Measurement, join_distinct, measure
from generalthinker.reporting.other_code import other_code, other_model_code, other_training_code
from generalthinker.reporting.report import describe_duration, describe_hardware, describe_kept_step, describe_model
from generalthinker.reporting.statistics import percent
from generalthinker.reporting.tables import Cell

CARD = "README.md"


def write_card(
    settings: Settings, run: RunSpec, record: dict[str, Any], base: BaseModel, prompt: dict[str, Any]
) -> str:
    """Return the model card of `run`; `record` is the run's record and `prompt` the content of `prompt.json`.

    Accuracies are those of the benchmarks whose grades exist. Raises IncompleteResultsError for damaged grades.
    """
    environment = Environment(
        loader=PackageLoader("generalthinker.publishing", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    model, mixture = settings.models[run.model], read_json(Layout(settings.results).mixture_manifest)
    accuracies = measured(settings, run)
    before = untrained(settings, run.model)
    body = environment.get_template("card.md.j2").render(
        run=run,
        base=base,
        model=model if isinstance(model, HubModelSettings) else None,
        origin=describe_model(settings, run.model)["what"],
        prompt=prompt,
        evaluation=settings.evaluation,
        max_lora_rank=max_lora_rank(record["identity"]["training"]["lora"]["rank"]),
        accuracies=_accuracies(settings, accuracies, measured(settings, before) if before else {}),
        evaluated_with=_evaluated_with([*accuracies.values()]),
        overlaps=_overlaps(settings, [*accuracies]),
        method=method_texts(settings.method(run)),
        method_settings=_method_settings(settings.method(run)),
        training=_flat(record["identity"]["training"]),
        mixture=mixture,
        record=record,
        kept=describe_kept_step(record),
        hours=describe_duration(float(record["training_seconds"])),
        hardware=join_distinct(describe_hardware(session["hardware"]) for session in record["sessions"]),
        other_code=_other_code(settings, run, [*accuracies]),
    )
    return str(ModelCard(f"---\n{metadata(settings, run, base, accuracies, mixture).to_yaml()}\n---\n\n{body}"))


def metadata(
    settings: Settings, run: RunSpec, base: BaseModel, accuracies: dict[str, Measurement], mixture: dict[str, Any]
) -> ModelCardData:
    """Return what the hub reads of a card; a value that is not known, such as the licence, is left out."""
    model = settings.models[run.model]
    licence: dict[str, Any] = {}
    if isinstance(model, HubModelSettings) and model.licence:
        licence = {"license": model.licence}
        if model.licence_link:
            licence = {"license": "other", "license_name": model.licence, "license_link": model.licence_link}
    results: dict[str, Any] = {}
    if accuracies:
        found = [_result(settings, name, measurement) for name, measurement in accuracies.items()]
        results = {"metrics": ["accuracy"], "model_name": run.name, "eval_results": found}
    sources = mixture["sources"].values()
    return ModelCardData(
        base_model=base.name if base.on_hub else None,
        base_model_relation="adapter" if base.on_hub else None,
        library_name="peft",
        pipeline_tag="text-generation",
        # A dataset without a revision is a local file or generated, and not on the hub.
        datasets=sorted({source["dataset"] for source in sources if source["revision"]}) or None,
        tags=["lora", "grpo", "reasoning", "reinforcement-learning", "arxiv:2605.27934"],
        **licence,
        **results,
    )


def measured(settings: Settings, run: RunSpec) -> dict[str, Measurement]:
    """Return the accuracy of `run` by benchmark, in the configuration's order, where grades exist."""
    grades, layout = GradeFiles(settings), Layout(settings.results)
    suites = {name: settings.suite_of(name) for name in settings.benchmarks}
    return {
        name: measure(grades, Cell(name, (run,), (name,)))
        for name, suite in suites.items()
        if Path(layout.grades(run.name, slug(suite))).exists()
    }


def method_texts(method: Method) -> list[str]:
    """Return what the modules of a method's family, and of the families that it derives from, say of themselves."""
    families = [kind for kind in reversed(type(method).__mro__) if kind in FAMILIES.values()]
    return [inspect.cleandoc(sys.modules[kind.__module__].__doc__ or kind.__doc__ or "") for kind in families]


def _method_settings(method: Method) -> list[tuple[str, Any, str]]:
    """Return name, value and meaning of each setting; the name of a knob is followed by its symbol."""
    knobs = method.knobs()
    return [
        (f"{name} ({knobs[name].symbol})" if name in knobs else name, getattr(method, name), field.description or "")
        for name, field in type(method).model_fields.items()
        if name != "family"
    ]


def _result(settings: Settings, name: str, found: Measurement) -> EvalResult:
    benchmark = settings.benchmarks[name]
    return EvalResult(
        task_type="text-generation",
        dataset_type=benchmark.dataset,
        dataset_name=name,
        dataset_config=benchmark.subset,
        dataset_split=benchmark.split,
        dataset_revision=benchmark.revision,
        metric_type="accuracy",
        metric_name="accuracy in percent, greedy decoding",
        metric_value=float(percent(found.accuracy)),
    )


def _accuracies(
    settings: Settings, after: dict[str, Measurement], before: dict[str, Measurement]
) -> list[dict[str, Any]]:
    """Return a line of the card's table per benchmark; `before` is empty where the base model was not evaluated."""
    return [
        {
            "benchmark": name,
            "dataset": settings.benchmarks[name].dataset,
            "subset": settings.benchmarks[name].subset,
            "correct": found.tallies[0].correct,
            "total": found.tallies[0].total,
            "accuracy": percent(found.accuracy),
            "low": percent(found.interval.low),
            "high": percent(found.interval.high),
            "base": percent(before[name].accuracy) if name in before else "",
        }
        for name, found in after.items()
    ]


def _evaluated_with(accuracies: list[Measurement]) -> str:
    """Return engine, numbers' type and device of the evaluations."""
    names = ("engine_version", "dtype", "device")
    return ", ".join(filter(None, (join_distinct(found.provenance[name] for found in accuracies) for name in names)))


def _overlaps(settings: Settings, benchmarks: list[str]) -> dict[str, int]:
    """Return how many training questions occur in each benchmark that the mixture was not compared with."""
    layout = Layout(settings.results)
    files = {name: Path(layout.overlap(slug(name))) for name in benchmarks if name in settings.uncompared_benchmarks}
    return {name: read_json(path)["train"] for name, path in files.items() if path.exists()}


def _other_code(settings: Settings, run: RunSpec, benchmarks: list[str]) -> list[str]:
    """Return one sentence for each result behind the card that other code than this made."""
    sentences = [other_model_code(settings, run.model), other_training_code(settings, run)]
    suites = dict.fromkeys(settings.suite_of(name) for name in benchmarks)
    sentences += [sentence for suite in suites for sentence in other_code(settings, run, suite)]
    return [*dict.fromkeys(filter(None, sentences))]


def _flat(training: dict[str, Any]) -> dict[str, Any]:
    """Return the training settings with those of the adapter as `lora.rank` and so on."""
    adapter = {f"lora.{name}": value for name, value in training["lora"].items()}
    return {name: value for name, value in training.items() if name != "lora"} | adapter
