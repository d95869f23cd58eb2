"""Settings of the tables and figures: the runs and benchmarks that each of them shows."""

import itertools
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, create_model, model_validator

from generalthinker.methods import SWEEPABLE
from generalthinker.sections import Count, Section


class RunSelection(Section):
    """One model and method. Knobs that are left out keep the method's values, and all seeds are used."""

    model: str
    method: str

    @property
    def knobs(self) -> dict[str, Any]:
        """The knobs whose values differ from the method's, by field."""
        return {name: value for name in SWEEPABLE if (value := getattr(self, name)) is not None}


class SweepAxes(Section):
    """One run per value of one knob, or per combination of values of several knobs."""

    run: "RunChoice"

    @model_validator(mode="after")
    def _has_an_axis(self) -> Self:
        if not self.axes:
            raise ValueError(f"a sweep needs a list of values for at least one of {list(SWEEPABLE)}")
        return self

    @property
    def axes(self) -> dict[str, list[Any]]:
        """The swept knobs with their values, by field."""
        return {name: values for name in SWEEPABLE if (values := getattr(self, name)) is not None}

    def choices(self) -> dict[str, "RunChoice"]:
        """Return the runs of the sweep by key: the value as text, or the heading if several knobs vary."""
        runs = {}
        for values in itertools.product(*self.axes.values()):
            knobs = dict(zip(self.axes, values, strict=True))
            key = str(values[0]) if len(knobs) == 1 else _heading(knobs)
            runs[key] = self.run.model_copy(update=knobs)
        return runs

    def headings(self) -> dict[str, str]:
        """Return the heading of each run by key, e.g. "β = 0.1"."""
        return {key: _heading({name: getattr(run, name) for name in self.axes}) for key, run in self.choices().items()}


def _heading(knobs: dict[str, Any]) -> str:
    return ", ".join(f"{SWEEPABLE[name][0].symbol} = {value}" for name, value in knobs.items())


if TYPE_CHECKING:
    RunChoice = RunSelection
    Sweep = SweepAxes
else:
    # Both classes have one field per knob of any method family.
    _values = {name: (kind | None, None) for name, (_, kind) in SWEEPABLE.items()}
    RunChoice = create_model("RunChoice", __base__=RunSelection, __doc__=RunSelection.__doc__, **_values)
    _lists = {name: (list[kind] | None, None) for name, (_, kind) in SWEEPABLE.items()}
    Sweep = create_model("Sweep", __base__=SweepAxes, __doc__=SweepAxes.__doc__, run=(RunChoice, ...), **_lists)


class _RunTable(Section):
    """A table whose cells are accuracies of runs."""

    title: str
    runs: dict[str, RunChoice] | None = Field(None, description="the runs by label")
    sweep: Sweep | None = Field(None, description="instead of `runs`: one run per value")
    groups: list[str]
    baseline: str | None = Field(None, description="compare every run with this one alone, instead of with each other")

    @model_validator(mode="after")
    def _runs_or_sweep(self) -> Self:
        if (self.runs is None) == (self.sweep is None):
            raise ValueError("a table needs either `runs` or `sweep`")
        if self.baseline is not None and self.baseline not in self.choices:
            raise ValueError(f"baseline = {self.baseline!r}: no run of this table; allowed: {list(self.choices)}")
        return self

    @property
    def choices(self) -> dict[str, RunChoice]:
        """The runs by label; a sweep is expanded into its runs."""
        return self.runs if self.runs is not None else self.sweep.choices()  # type: ignore[union-attr]


class BenchmarkTable(_RunTable):
    """Rows are benchmarks with an average per group; columns are runs (Tables 1, 4, 5, 6)."""

    kind: Literal["benchmarks"]


class AverageTable(_RunTable):
    """Rows are runs; columns are group averages (Table 2)."""

    kind: Literal["averages"]


class MethodTable(_RunTable):
    """Rows are runs; columns are group averages, differences from the baseline, costs, and what the method needs."""

    kind: Literal["methods"]
    unit_of_cost: str = Field(description="the run whose training step is the unit of the other runs' steps")

    @model_validator(mode="after")
    def _names_runs(self) -> Self:
        if self.baseline is None:
            raise ValueError(f"a table of methods needs a `baseline`; allowed: {list(self.choices)}")
        if self.unit_of_cost not in self.choices:
            raise ValueError(
                f"unit_of_cost = {self.unit_of_cost!r}: no run of this table; allowed: {list(self.choices)}"
            )
        return self


class FurtherModelsTable(Section):
    """Rows are runs whose method uses further models; columns are shares in these models' records and in histories."""

    kind: Literal["further_models"]
    title: str
    runs: dict[str, RunChoice] = Field(description="the runs by label")


class DatasetTable(Section):
    """Rows are benchmarks with their dataset's id, revision and size (Table 3)."""

    kind: Literal["datasets"]
    title: str
    groups: list[str]


class HyperparameterTable(Section):
    """Rows are the training settings of one run (Table 7)."""

    kind: Literal["hyperparameters"]
    title: str
    run: RunChoice


TableSettings = Annotated[
    BenchmarkTable | AverageTable | MethodTable | FurtherModelsTable | DatasetTable | HyperparameterTable,
    Field(discriminator="kind"),
]


class ScalingFigure(Section):
    """Group averages by model size, with one line per method (Figure 3)."""

    kind: Literal["scaling"]
    title: str
    models: list[str]
    methods: list[str]
    groups: list[str]


class DynamicsFigure(Section):
    """Training metrics by step, with one line per run (Figure 4)."""

    kind: Literal["dynamics"]
    title: str
    metrics: list[str] = Field(description="columns of the training history, one panel each")
    runs: dict[str, RunChoice]


class LearningFigure(Section):
    """Validation accuracy by step and by seconds of training, with one line per run."""

    kind: Literal["learning"]
    title: str
    runs: dict[str, RunChoice]


class DifferencesFigure(Section):
    """The differences of a table's runs from its baseline, with intervals; one panel per group."""

    kind: Literal["differences"]
    title: str
    table: str


FigureSettings = Annotated[
    ScalingFigure | DynamicsFigure | LearningFigure | DifferencesFigure, Field(discriminator="kind")
]


class CreditSettings(Section):
    """Does the credit find the wrong step of a response: the runs, and the responses whose wrong step is known."""

    runs: dict[str, RunChoice] = Field(description="the runs by label; each is measured before and after its training")
    responses: Count = Field(100, description="generated responses with one wrong step, of each synthetic task")
    marked: str | None = Field(
        None, description="instead of generated responses: a file of JSON lines with responses that a person has marked"
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, content: Any) -> Any:
        """Leave out a run that is null: so a file laid over another one removes it."""
        if isinstance(content, dict) and isinstance(runs := content.get("runs"), dict):
            return content | {"runs": {label: run for label, run in runs.items() if run is not None}}
        return content


Reported = Annotated[str | None, Field(description="CSV file of the paper's values, shown next to the reproduced ones")]
