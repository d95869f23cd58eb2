"""Results that other code than this clone's made: named wherever they are shown, never redone by themselves."""

from pathlib import Path

from generalthinker.code_versions import Code, code_of_generation, code_of_model, code_of_run, differences
from generalthinker.config.settings import Settings
from generalthinker.files import read_json, read_parquet_metadata
from generalthinker.paths import BUILT_BY, Layout
from generalthinker.records import RunSpec, slug
from generalthinker.reporting.tables import Cell


def other_code_of_cell(settings: Settings, cell: Cell) -> list[str]:
    """Return one sentence for each result behind `cell` that other code made."""
    suites = dict.fromkeys(settings.suite_of(name) for name in cell.benchmarks)
    notes = (other_code(settings, run, suite) for run in cell.runs for suite in suites)
    return list(dict.fromkeys(note for of_run in notes for note in of_run))


def other_code(settings: Settings, run: RunSpec, suite: str) -> list[str]:
    """Return one sentence for each of model, training and generation that other code made, if it is finished."""
    layout = Layout(settings.results)
    sentences = [other_model_code(settings, run.model), other_training_code(settings, run)]
    for path in (Path(layout.generations(run.name, slug(suite))), Path(layout.grades(run.name, slug(suite)))):
        if path.exists():
            code = (read_parquet_metadata(path).get("generation") or {}).get("code")
            codes = code if isinstance(code, list) else [code]
            sentences += [_described(f"{run.name} on {suite}", made_by, code_of_generation()) for made_by in codes]
            break
    return [sentence for sentence in sentences if sentence]


def other_model_code(settings: Settings, model: str) -> str:
    """Return how the code that built and pre-trained `model` differs from this clone's; empty if it does not."""
    path = Path(Layout(settings.results).model(slug(model))) / BUILT_BY
    if not path.exists():
        return ""
    return _described(f"model {model}", read_json(path)["code"], code_of_model(settings.models[model].kind))


def other_training_code(settings: Settings, run: RunSpec) -> str:
    """Return how the code that trained `run` differs from this clone's; empty where it does not differ."""
    path = Path(Layout(settings.results).run_record(run.name))
    if run.seed is None or not path.exists():
        return ""
    record = read_json(path)
    now = code_of_run(settings.method(run))
    begun = record.get("continued_from")
    return _described(run.name, record.get("code"), now) or (_described(run.name, begun, now) if begun else "")


def _described(label: str, made_by: Code | None, now: Code) -> str:
    if made_by is None:
        return f"{label}: its code was not recorded"
    difference = differences(made_by, now)
    return f"{label}: {difference}" if difference else ""
