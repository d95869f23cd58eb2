"""Everything the settings' tables and figures need, over all of them: runs to train and suites to evaluate."""

from generalthinker.config.settings import Settings
from generalthinker.records import RunSpec
from generalthinker.reporting.cells import evaluations, figure_needs, rows


def needed_evaluations(settings: Settings) -> dict[str, list[tuple[RunSpec, str]]]:
    """Return table or figure → its (run, suite) pairs, each once."""
    needed = {
        table: list(
            dict.fromkeys(pair for row in rows(settings, table).values() for pair in evaluations(settings, row))
        )
        for table in settings.tables
    }
    return needed | {figure: list(figure_needs(settings, figure).evaluations) for figure in settings.figures}


def all_evaluations(settings: Settings) -> list[tuple[RunSpec, str]]:
    """Return every (run, suite) pair of the experiment, in the order of first use."""
    return list(dict.fromkeys(pair for pairs in needed_evaluations(settings).values() for pair in pairs))


def all_runs(settings: Settings) -> list[RunSpec]:
    """Return every run of the experiment, untrained models included, in the order of first use."""
    histories = [run for figure in settings.figures for run in figure_needs(settings, figure).histories]
    return list(dict.fromkeys([*(run for run, _ in all_evaluations(settings)), *histories]))
