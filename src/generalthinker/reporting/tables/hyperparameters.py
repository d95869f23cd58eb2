"""Rows are the training settings of one run, written in one job from the settings alone (Table 7)."""

from generalthinker.config.reporting import HyperparameterTable
from generalthinker.config.settings import Settings
from generalthinker.reporting.display import Display, DisplayedRow, Entry
from generalthinker.reporting.tables import Differing, RowLines, TableRow

CAPTION = "Every setting that decides the result of this training run, as it was used."


def rows(settings: Settings, spec: HyperparameterTable) -> list[TableRow]:
    """Return no rows: no hyper-parameter has a file of its own."""
    return []


def display(
    settings: Settings,
    table: str,
    spec: HyperparameterTable,
    contents: list[tuple[TableRow, RowLines]],
    differing: Differing | None = None,
) -> Display:
    """Return the table with one row per hyper-parameter."""
    return Display(
        name=table,
        title=spec.title,
        label="Hyper-parameter",
        columns=("value",),
        headings=("Value",),
        numeric=(False,),
        rows=tuple(
            DisplayedRow(None, name, (Entry(value, value),)) for name, value in hyperparameters(settings, spec).items()
        ),
    )


def hyperparameters(settings: Settings, spec: HyperparameterTable) -> dict[str, str]:
    """Return name → value of everything that decides the result of the table's run: knobs first, the adapter last.

    A method's switches are left out: they are the check marks of other tables.
    """
    run = settings.runs(spec.run)[0]
    training = settings.training_identity(run)["training"]
    adapter = {f"lora_{name}": value for name, value in training.pop("lora").items()}
    knobs = {knob.field: knob.value for knob in run.knobs}
    values = knobs | {"seed": run.seed} | training | settings.method(run).further_settings | adapter
    return {name: ", ".join(value) if isinstance(value, list) else str(value) for name, value in values.items()}
