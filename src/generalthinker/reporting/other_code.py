"""Results that other code than this clone's made: named wherever they are shown, never redone by themselves."""

from pathlib import Path

from generalthinker.code_versions import Code, code_of_generation, code_of_run, differences
from generalthinker.config.settings import Settings
from generalthinker.files import read_json, read_parquet_metadata
from generalthinker.paths import Layout
from generalthinker.records import RunSpec, slug


def other_code(settings: Settings, run: RunSpec, suite: str) -> list[str]:
    """Return one sentence for each of training and generation that other code did, as far as they are finished."""
    layout = Layout(settings.results)
    sentences = [other_training_code(settings, run)]
    for path in (Path(layout.generations(run.name, slug(suite))), Path(layout.grades(run.name, slug(suite)))):
        if path.exists():
            code = (read_parquet_metadata(path).get("generation") or {}).get("code")
            codes = code if isinstance(code, list) else [code]
            sentences += [_described(f"{run.name} on {suite}", made_by, code_of_generation()) for made_by in codes]
            break
    return [sentence for sentence in sentences if sentence]


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
