"""Settings of the tables and figures: which run and benchmark fill which cell."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from generalthinker.config.base import Section, Strength, Threshold

SWEEPABLE = ("modulation_strength", "clip_threshold")


class RunChoice(Section):
    """A run, as a table names it: what is left out comes from `training`, and every seed of `seeds` is used."""

    model: str
    method: str
    modulation_strength: Strength | None = None
    clip_threshold: Threshold | None = None


class Sweep(Section):
    """One run per value of one setting."""

    run: RunChoice
    modulation_strength: list[Strength] | None = None
    clip_threshold: list[Threshold] | None = None

    @model_validator(mode="after")
    def _one_axis(self) -> Self:
        if sum(getattr(self, name) is not None for name in SWEEPABLE) != 1:
            raise ValueError(f"a sweep has exactly one of {list(SWEEPABLE)}")
        return self

    def choices(self) -> dict[str, RunChoice]:
        """Return the runs of the sweep by their value as text."""
        name = next(name for name in SWEEPABLE if getattr(self, name) is not None)
        return {str(value): self.run.model_copy(update={name: value}) for value in getattr(self, name)}


class _RunTable(Section):
    """A table whose cells are accuracies of runs."""

    title: str
    runs: dict[str, RunChoice] | None = Field(None, description="label → run")
    sweep: Sweep | None = Field(None, description="instead of `runs`: one run per value")
    groups: list[str]

    @model_validator(mode="after")
    def _runs_or_sweep(self) -> Self:
        if (self.runs is None) == (self.sweep is None):
            raise ValueError("a table has either `runs` or `sweep`")
        return self

    @property
    def choices(self) -> dict[str, RunChoice]:
        """Label → run, the sweep written out."""
        return self.runs if self.runs is not None else self.sweep.choices()  # type: ignore[union-attr]


class BenchmarkTable(_RunTable):
    """Rows are benchmarks with an average per group; columns are runs (Tables 1, 4, 5, 6)."""

    kind: Literal["benchmarks"]


class AverageTable(_RunTable):
    """Rows are runs; columns are group averages (Table 2)."""

    kind: Literal["averages"]


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
    BenchmarkTable | AverageTable | DatasetTable | HyperparameterTable, Field(discriminator="kind")
]


class ScalingFigure(Section):
    """Group averages over model sizes, a line per method (Figure 3)."""

    kind: Literal["scaling"]
    title: str
    models: list[str]
    methods: list[str]
    groups: list[str]


class DynamicsFigure(Section):
    """Training metrics over steps, a line per run (Figure 4)."""

    kind: Literal["dynamics"]
    title: str
    metrics: list[Literal["kl", "entropy", "reward", "completion_length"]]
    runs: dict[str, RunChoice]


FigureSettings = Annotated[ScalingFigure | DynamicsFigure, Field(discriminator="kind")]
Reported = Annotated[str | None, Field(description="CSV of a paper's values, printed beside the reproduced ones")]
