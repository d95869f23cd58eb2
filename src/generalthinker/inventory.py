"""The kept results of an experiment: what there is, how large it is, and what the configuration uses."""

from generalthinker.code_versions import differences
from generalthinker.config.settings import Settings
from generalthinker.errors import StageError
from generalthinker.identity import Identity, identity_of_generation, identity_of_model, identity_of_run
from generalthinker.keeping import KeptResult, Store
from generalthinker.reporting.cells import all_evaluations, all_runs


class UnknownKeptResultError(StageError, ValueError):
    """A name that no kept result has."""


def used_identities(settings: Settings) -> dict[str, Identity]:
    """Return hash → identity of every result that the configuration asks for and whose inputs are there."""
    identities = []
    for model in settings.built_models:
        identities.append(identity_of_model(settings, model))
    for run in all_runs(settings):
        if run.seed is not None:
            identities += _if_inputs_exist(identity_of_run, settings, run)
    for run, suite in all_evaluations(settings):
        for benchmark in settings.suite_benchmarks(suite):
            identities += _if_inputs_exist(identity_of_generation, settings, run, suite, benchmark)
    return {identity.hash: identity for identity in identities}


def describe_kept(settings: Settings) -> str:
    """Return a line per kept result: size, whether it is used, which code made it, and its name."""
    used = used_identities(settings)
    keys = {identity.key: identity for identity in used.values()}
    lines, total = [], 0
    for kept in Store(settings.results).all():
        if kept.folder.name in used:
            state = "used"
        elif kept.record["key"] in keys:
            state = f"other code: {differences(kept.code, keys[kept.record['key']].code)}"
        else:
            state = "not used by this configuration"
        total += kept.size
        lines.append(f"{kept.size / 2**20:10.1f} MiB  {kept.folder.name}  {kept.label}  ({state})")
    return "\n".join([*lines, f"{total / 2**20:10.1f} MiB  in {len(lines)} kept results of {settings.results}"])


def select_kept(settings: Settings, names: list[str], unused: bool) -> list[KeptResult]:
    """Return the kept results with these names or hashes, and with `unused` all that the configuration does not use.

    Raises UnknownKeptResultError for a name that there is not.
    """
    results = Store(settings.results).all()
    chosen = []
    for name in names:
        matching = [kept for kept in results if name in (kept.label, kept.folder.name)]
        if not matching:
            raise UnknownKeptResultError(
                f"{name!r}: no kept result has this name or hash; `generalthinker kept` lists all"
            )
        chosen += matching
    if unused:
        used = used_identities(settings)
        chosen += [kept for kept in results if kept.folder.name not in used and kept not in chosen]
    return chosen


def _if_inputs_exist(identity_of, settings: Settings, *arguments) -> list[Identity]:
    try:
        return [identity_of(settings, *arguments)]
    except OSError:
        return []
