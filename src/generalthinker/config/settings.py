"""The whole configuration: its sections, the checks across sections, and the runs that it defines."""

import re
from pathlib import Path
from typing import Any, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from generalthinker.config.data import (
    MIRROR_VARIABLE,
    BenchmarkSettings,
    DataSettings,
    ModelSettings,
    mirror_folder,
)
from generalthinker.config.reporting import (
    CreditSettings,
    DifferencesFigure,
    FigureSettings,
    LearningFigure,
    Reported,
    RunChoice,
    TableSettings,
)
from generalthinker.config.training import EvaluationSettings, TrainingSettings
from generalthinker.errors import StageError
from generalthinker.methods import FAMILIES, Method, MethodSettings
from generalthinker.metrics import COMMON, VLLM, Metric
from generalthinker.records import RunSpec, slug
from generalthinker.sections import Count, Section

# Settings of `training` that change how a run is executed, but not its result, except for rounding.
EXECUTION_ONLY = {
    "micro_batch_size",
    "group_by_length",
    "gradient_checkpointing",
    "vllm_memory_share",
    "further_memory_share",
    "save_every",
    "keep_checkpoints",
    "keep_adapters",
    "report_to",
}


class UnknownRunError(StageError, ValueError):
    """The text is not the name of a run of this configuration."""


class Threads(Section):
    """CPU threads of the expensive rules; `set-threads` in a profile overrides them."""

    model: Count = 1
    train: Count = 1
    generate: Count = 1
    grade: Count = 1


class Settings(Section):
    """One experiment."""

    name: str = Field(description="short name of the experiment, shown in reports")
    results: str = Field(description="folder for everything that is written")
    mirror: str | None = Field(
        None,
        description=f"folder with local copies of datasets; the environment variable {MIRROR_VARIABLE} can name it too",
    )
    seeds: list[int] = Field([1], min_length=1, description="training seeds; each table cell is the mean over them")
    data: DataSettings
    models: dict[str, ModelSettings]
    methods: dict[str, MethodSettings]
    benchmarks: dict[str, BenchmarkSettings]
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings
    threads: Threads = Threads()
    tables: dict[str, TableSettings] = Field(default_factory=dict)
    figures: dict[str, FigureSettings] = Field(default_factory=dict)
    credit: CreditSettings | None = Field(
        None, description="whether the token-level credit finds the wrong step of a response; None: it is not measured"
    )
    reported_values: Reported = None
    equivalence_margin: float = Field(
        2.0, gt=0, description="points within which two accuracies, ours or the paper's, count as the same"
    )

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        problems = [
            *self._naming_problems(),
            *self._data_problems(),
            *self._suite_problems(),
            *self._method_problems(),
            *self._credit_problems(),
        ]
        for section, items in (("tables", self.tables), ("figures", self.figures)):
            for name, item in items.items():
                problems += [f"{section}.{name}.{problem}" for problem in self._display_problems(item)]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _naming_problems(self) -> list[str]:
        problems = []
        for section, names in (
            ("models", self.models),
            ("methods", self.methods),
            ("benchmarks", self.benchmarks),
            ("tables", self.tables),
        ):
            folders: dict[str, str] = {}
            for name in names:
                if (other := folders.setdefault(slug(name), name)) != name:
                    problems.append(f"{section}: {other!r} and {name!r} give the same file name {slug(name)!r}")
        if len(set(self.seeds)) != len(self.seeds):
            problems.append(f"seeds = {self.seeds}: a seed is repeated; list every seed once")
        return problems

    def _data_problems(self) -> list[str]:
        problems = []
        if self.data.tokenizer_model not in self.models:
            problems.append(
                f"data.tokenizer_model = {self.data.tokenizer_model!r}: not in `models`; allowed: {list(self.models)}"
            )
        problems += [
            f"data.decontaminate_against: unknown benchmark {name!r}; allowed: {list(self.benchmarks)}"
            for name in self.data.decontaminate_against
            if name not in self.benchmarks
        ]
        adapters = _modules("data/sources")
        for place, sources in (("data.sources", self.data.sources), ("benchmarks", self.benchmarks)):
            for name, source in sources.items():
                if source.adapter not in adapters:
                    problems.append(
                        f"{place}.{name}.adapter = {source.adapter!r}: unknown adapter; allowed: {adapters}"
                    )
                # If the mirror lacks the dataset, reading it from the hub refuses the missing revision.
                if source.dataset != "synthetic" and source.revision is None and not mirror_folder(self.mirror):
                    problems.append(
                        f"{place}.{name}.revision: missing; set it to a commit of {source.dataset}, or read a local "
                        f"copy: set `mirror` or {MIRROR_VARIABLE}"
                    )
        return problems

    def _method_problems(self) -> list[str]:
        return [
            f"methods.{name}: model {entry!r} for the role {role!r} is not in `models`; allowed: {list(self.models)}"
            for name, method in self.methods.items()
            for role, entry in method.models.items()
            if entry not in self.models
        ]

    def _credit_problems(self) -> list[str]:
        problems = []
        for label, choice in (self.credit.runs if self.credit else {}).items():
            found = self._choice_problems(choice)
            if not found and not self.methods[choice.method].trained:
                found = [f"{choice.method!r} is not trained; the model before the training is measured with every run"]
            problems += [f"credit.runs.{label}: {problem}" for problem in found]
        return problems

    def _suite_problems(self) -> list[str]:
        problems = []
        seen: dict[str, str] = {}
        for suite, names in self.evaluation.suites.items():
            for name in names:
                if name not in self.benchmarks:
                    problems.append(
                        f"evaluation.suites.{suite}: unknown benchmark {name!r}; allowed: {list(self.benchmarks)}"
                    )
                elif name in seen:
                    problems.append(f"evaluation.suites.{suite}: {name!r} is already in suite {seen[name]!r}")
                seen[name] = suite
        missing = [name for name in self.benchmarks if name not in seen]
        if missing:
            problems.append(f"evaluation.suites: {missing} are in no suite; put every benchmark into exactly one")
        return problems

    def _display_problems(self, item: Any) -> list[str]:
        problems = []
        choices: dict[str, RunChoice] = dict(getattr(item, "choices", None) or getattr(item, "runs", None) or {})
        if isinstance(run := getattr(item, "run", None), RunChoice):
            choices["run"] = run
        for model in getattr(item, "models", []):
            for method in getattr(item, "methods", []):
                choices[f"{model}/{method}"] = RunChoice(model=model, method=method)
        for label, choice in choices.items():
            problems += [f"{label}: {problem}" for problem in self._choice_problems(choice)]
            method = self.methods.get(choice.method)
            if method and not method.trained and item.kind in ("dynamics", "learning", "hyperparameters"):
                problems.append(f"{label}: {choice.method!r} is not trained, so it has no training to show")
        columns = list(self.metrics)
        problems += [
            f"metrics: {name!r} is not a column of the training history; allowed: {columns}"
            for name in getattr(item, "metrics", [])
            if name not in columns
        ]
        if isinstance(item, LearningFigure) and not self.training.validate_every:
            problems.append("a learning curve needs validation; set training.validate_every")
        if isinstance(item, DifferencesFigure) and not hasattr(self.tables.get(item.table), "choices"):
            problems.append(f"table = {item.table!r}: no table of accuracies; allowed: {self._accuracy_tables}")
        for group in getattr(item, "groups", []):
            if group not in self.groups:
                problems.append(f"groups: unknown group {group!r}; allowed: {list(self.groups)}")
        return problems

    def _choice_problems(self, choice: RunChoice) -> list[str]:
        problems = []
        if choice.model not in self.models:
            problems.append(f"model = {choice.model!r}: unknown model; allowed: {list(self.models)}")
        method = self.methods.get(choice.method)
        if method is None:
            problems.append(f"method = {choice.method!r}: unknown method; allowed: {list(self.methods)}")
            return problems
        values = {knob.field: knob.value for knob in method.knob_values}
        for field in choice.knobs:
            if field not in values:
                if field in method.knobs():
                    why = f"it is off (null) in {choice.method!r}"
                else:
                    why = f"{choice.method!r} is of the family {method.family!r}, which has no such knob"
                problems.append(f"{field}: {why}; leave it out. Knobs that can be set here: {list(values) or 'none'}")
        return problems

    @property
    def _accuracy_tables(self) -> list[str]:
        return [name for name, table in self.tables.items() if hasattr(table, "choices")]

    @property
    def metrics(self) -> dict[str, Metric]:
        """The metrics of the training histories by column, including those that only some runs have."""
        own = [metric for kind in FAMILIES.values() for metric in kind.METRICS]
        return {metric.column: metric for metric in (*COMMON, *VLLM, *own)}

    @property
    def groups(self) -> dict[str, list[str]]:
        """The benchmarks of each group, in the order of the configuration."""
        groups: dict[str, list[str]] = {}
        for name, benchmark in self.benchmarks.items():
            groups.setdefault(benchmark.group, []).append(name)
        return groups

    @property
    def open_benchmarks(self) -> list[str]:
        """The benchmarks that the mixture is compared with and that can be read without asking for access."""
        return [name for name in self.data.decontaminate_against if not self.benchmarks[name].gated]

    @property
    def gated_benchmarks(self) -> list[str]:
        """The benchmarks that the mixture is compared with where access to them was given."""
        return [name for name in self.data.decontaminate_against if self.benchmarks[name].gated]

    @property
    def uncompared_benchmarks(self) -> list[str]:
        """The benchmarks that the mixture is not compared with: training questions may occur in them."""
        return [name for name in self.benchmarks if name not in self.data.decontaminate_against]

    def suite_of(self, benchmark: str) -> str:
        """Return the suite that evaluates `benchmark`."""
        return next(suite for suite, names in self.evaluation.suites.items() if benchmark in names)

    def runs(self, choice: RunChoice) -> list[RunSpec]:
        """Return the runs of one table cell or curve: one per seed, or only the untrained model."""
        method = self.methods[choice.method]
        if not method.trained:
            return [RunSpec(choice.model, choice.method)]
        knobs = method.with_knobs(choice.knobs).knob_values
        return [RunSpec(choice.model, choice.method, knobs, seed) for seed in self.seeds]

    def method(self, run: RunSpec) -> Method:
        """Return the method of `run` with the run's own values of its knobs."""
        return self.methods[run.method].with_knobs({knob.field: knob.value for knob in run.knobs})

    def run(self, name: str) -> RunSpec:
        """Return the run whose folder is `name`. Knob values and seeds that no table uses are accepted.

        Raises UnknownRunError, which shows the expected form, if `name` is not the name of a run.
        """
        model, _, rest = name.partition("/")
        models, methods = self._by_slug(self.models), self._by_slug(self.methods)
        # The longest name comes first, because a method's name may be the beginning of another's.
        beginnings = [start for start in sorted(methods, key=len, reverse=True) if f"{rest}_".startswith(f"{start}_")]
        if model not in models or not beginnings:
            raise UnknownRunError(
                f"run {name!r}: expected model/method[_knob-value …][_seed-n] with a model of {list(models)} "
                f"and a method of {list(methods)}"
            )
        label = methods[beginnings[0]]
        method = self.methods[label]
        suffixes = {field: method.knobs()[field].suffix for field in (knob.field for knob in method.knob_values)}
        pattern = "".join(f"(_{re.escape(suffix)}-(?P<{field}>.+?))?" for field, suffix in suffixes.items())
        match = re.fullmatch(rf"{pattern}(_seed-(?P<seed>\d+))?", rest.removeprefix(beginnings[0]))
        complete = f"{model}/{beginnings[0]}" + "".join(f"_{suffix}-…" for suffix in suffixes.values())
        complete += "_seed-n" if method.trained else ""
        if not match:
            raise UnknownRunError(f"run {name!r}: expected the form {complete}")
        texts = {field: text for field in suffixes if (text := match[field])}
        try:
            values = {
                field: TypeAdapter(method.knob_type(field)).validate_strings(text) for field, text in texts.items()
            }
        except ValidationError as error:
            problem = error.errors()[0]
            raise UnknownRunError(f"run {name!r}: {problem['input']!r}: {problem['msg'].lower()}") from None
        knobs = method.with_knobs(values).knob_values
        spec = RunSpec(models[model], label, knobs, int(match["seed"]) if match["seed"] else None)
        if spec.name != name or method.trained != (spec.seed is not None):
            raise UnknownRunError(f"run {name!r}: incomplete; its full name has the form {complete}")
        return spec

    def training_identity(self, run: RunSpec) -> dict[str, Any]:
        """Return everything that determines the result of training `run`, which is retrained only if this changes."""
        training = self.training_of(run).model_dump(exclude=EXECUTION_ONLY)
        if not self.training.validate_every:
            del training["validation_decoding"]
        if self.training.rollout_engine != "vllm":
            del training["rollout_weights"]
        method = self.method(run)
        return {
            "model": self.model_identity(run.model),
            "models": {role: self.model_identity(entry) for role, entry in method.models.items()},
            "method": method.identity(),
            "seed": run.seed,
            "training": training | self.grpo_options(run),
        }

    def training_of(self, run: RunSpec) -> TrainingSettings:
        """Return the section `training` as it holds for `run`: a method may replace some of its settings."""
        overrides = self.method(run).training_overrides
        replaced = {name: value for name, value in overrides.items() if name in TrainingSettings.model_fields}
        return TrainingSettings.model_validate({**dict(self.training), **replaced}) if replaced else self.training

    def grpo_options(self, run: RunSpec) -> dict[str, Any]:
        """Return the options of TRL's GRPOConfig that the method of `run` sets and the section `training` lacks."""
        overrides = self.method(run).training_overrides
        return {name: value for name, value in overrides.items() if name not in TrainingSettings.model_fields}

    def models_of_kind(self, kind: str) -> list[str]:
        """Return the models of one kind, such as those that are downloaded (`hub`)."""
        return [name for name, model in self.models.items() if model.kind == kind]

    @property
    def built_models(self) -> list[str]:
        """The models that are built here: all that are not downloaded from the hub."""
        return [name for name, model in self.models.items() if model.kind != "hub"]

    def benchmark_identity(self, file_name: str) -> dict[str, Any]:
        """Return everything that determines the questions in a benchmark's file."""
        benchmark = self.benchmarks[self._by_slug(self.benchmarks)[file_name]]
        return {**benchmark.model_dump(exclude={"group", "limit", "samples"}), "seed": self.data.seed}

    def model_identity(self, model: str) -> dict[str, Any]:
        """Return everything that determines the bytes of a model snapshot; `model` may be its file name."""
        # A package's content is known by its hash.
        unused = {"label", "licence", "licence_link", "package", "version"}
        return self.models[self._by_slug(self.models)[slug(model)]].model_dump(exclude=unused)

    @staticmethod
    def _by_slug(section: dict[str, Any]) -> dict[str, str]:
        return {slug(name): name for name in section}

    def generation_identity(self, benchmark: str) -> dict[str, Any]:
        """Return exactly what decides the responses to one benchmark, the questions and the model aside."""
        entry = self.benchmarks[benchmark]
        unused = {"suites", "gpu_memory_utilization", "batch_size"}
        sampling = {"sampling_temperature", "sampling_top_p"} if entry.samples is None else set()
        evaluation = self.evaluation.model_dump(exclude=unused | sampling)
        return {**evaluation, "limit": entry.limit, **({"samples": entry.samples} if entry.samples else {})}

    def suite_benchmarks(self, suite: str) -> list[str]:
        """Return the benchmarks of `suite`."""
        return self.evaluation.suites[suite]


def _modules(folder: str) -> list[str]:
    """Return the names of the modules in a folder of the package, without importing them."""
    files = (Path(__file__).parent.parent / folder).glob("*.py")
    return sorted(path.stem for path in files if path.stem != "__init__")
