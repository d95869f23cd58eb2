"""How long jobs take, computed from the settings, the profile's GPUs and `assumptions.py`: an ESTIMATE.

Training seconds follow from floating-point operations (FLOPs): a forward pass costs 2 · parameters · tokens. With LoRA
the backward pass costs as much again, because the model's own weights need no gradient, and gradient checkpointing
repeats the forward pass. Attention is left out: it adds a few percent at these lengths. Sampling one token of a batch
takes the longer of reading all weights once and computing the batch, plus an overhead; a batch lasts as long as its
longest response. A step that `generalthinker check --gpu` has measured with the same settings replaces the computed
one.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from generalthinker.config.data import HubModelSettings
from generalthinker.config.settings import Settings
from generalthinker.files import read_json
from generalthinker.paths import Layout
from generalthinker.records import RunSpec, slug
from generalthinker.reporting.assumptions import Assumptions

PROFILE = Path("slurm/config.yaml")
BYTES_PER_PARAMETER = 2  # bfloat16


@dataclass(frozen=True, slots=True)
class Gpus:
    """The GPUs that the cluster profile asks for: number by rule, and their model."""

    of_rule: dict[str, int]
    model: str


@dataclass(frozen=True, slots=True)
class StepSeconds:
    """The parts of one optimizer step in seconds."""

    rollout: float
    compute: float
    overhead: float

    @property
    def total(self) -> float:
        """Seconds of the whole step."""
        return self.rollout + self.compute + self.overhead


def total_steps(settings: Settings) -> int:
    """Return the optimizer steps of a full run: every prompt `group_size` times, `batch_size` completions per step."""
    training = settings.training
    completions = settings.data.train_rows * training.epochs * training.group_size
    return training.max_steps or math.ceil(completions / training.batch_size)


def checked_steps(settings: Settings) -> dict[str, StepSeconds]:
    """Return model → the seconds of one step on one GPU that `generalthinker check --gpu` has measured.

    It is empty if `training` had other settings then.
    """
    try:
        checked = read_json(Layout(settings.results).gpu_check)
        if checked["training"] != settings.training.model_dump(mode="json"):
            return {}
        measured = [part["figures"] for part in checked["parts"] if part["state"] in ("passed", "warning")]
        return {
            step["model"]: StepSeconds(step["rollout_seconds"], step["scoring_seconds"] + step["update_seconds"], 0.0)
            for step in measured
            if "rollout_tokens_per_second" in step
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # none yet, or by another version


def read_gpus(profile: Path = PROFILE) -> Gpus:
    """Return the GPUs that `profile` requests for one job of each rule; one per GPU rule without a profile."""
    content = yaml.safe_load(profile.read_text(encoding="utf-8")) if profile.exists() else {}
    named = content.get("set-resources", {})
    of_rule = {rule: int(resources.get("gpu", 0)) for rule, resources in named.items()}
    models = [str(resources["gpu_model"]) for resources in named.values() if "gpu_model" in resources]
    return Gpus({"train": 1, "generate": 1} | of_rule, models[0].upper() if models else "")


class Estimate:
    """The estimated hours of every kind of job; None for tiny models, which take minutes and are measured.

    `checked` are measured steps by model. Those of the last check are used for trainings on one GPU, unless an
    assumption was replaced.
    """

    def __init__(
        self,
        settings: Settings,
        assumptions: Assumptions,
        gpus: Gpus,
        checked: dict[str, StepSeconds] | None = None,
    ) -> None:
        self.settings, self.assumed, self.gpus = settings, assumptions, gpus
        self.layout = Layout(settings.results)
        if checked is None:
            as_checked = gpus.of_rule["train"] == 1 and not assumptions.model_fields_set
            checked = checked_steps(settings) if as_checked else {}
        self.checked = checked

    def parameters(self, model: str) -> float | None:
        """Return the number of parameters of an entry of `models`."""
        entry = self.settings.models[model]
        if not isinstance(entry, HubModelSettings):
            return None
        stated = re.search(r"([\d.]+) ?B\b", entry.label)
        billions = self.assumed.billions
        known = billions.get(model) or billions.get(entry.id) or (float(stated[1]) if stated else None)
        return known and known * 1e9

    def step(self, model: str) -> StepSeconds | None:
        """Return the seconds of one optimizer step."""
        if model in self.checked:
            return self.checked[model]
        parameters = self.parameters(model)
        if parameters is None:
            return None
        training, assumed = self.settings.training, self.assumed
        gpus = self.gpus.of_rule["train"] or 1
        rollout = training.max_completion_tokens * self._token_seconds(parameters, training.batch_size / gpus)
        tokens = training.batch_size * (assumed.prompt_tokens + assumed.response_tokens) * assumed.padding
        passes = 2 + training.gradient_checkpointing + assumed.scoring_passes
        compute = 2 * parameters * tokens * passes / (gpus * self._flops)
        return StepSeconds(rollout, compute, assumed.step_overhead_seconds)

    def train(self, run: RunSpec) -> float | None:
        """Return the hours of one training, validations included."""
        parameters, step = self.parameters(run.model), self.step(run.model)
        if step is None:
            return None
        training, steps = self.settings.training, total_steps(self.settings)
        validations = steps // training.validate_every + 1 if training.validate_every else 0
        gpus = self.gpus.of_rule["train"] or 1
        at_once, batch = float(training.batch_size), step.rollout  # a validation's batch, if it is like a rollout
        if run.model not in self.checked and parameters is not None:
            at_once = self.assumed.validation_batch
            batch = training.max_completion_tokens * self._token_seconds(parameters, at_once)
        batches = math.ceil(self.settings.data.validation_rows / gpus / at_once)
        return (steps * step.total + validations * batches * batch + self.assumed.session_seconds) / 3600

    def generate(self, run: RunSpec, suite: str) -> float | None:
        """Return the hours of one evaluation."""
        parameters, questions = self.parameters(run.model), self.questions(suite)
        if parameters is None or questions is None:
            return None
        assumed = self.assumed
        # The engine fills a finished response's place at once, so only the mean length counts.
        batch = min(assumed.evaluation_batch, questions)
        decoding = questions / batch * assumed.response_tokens * self._token_seconds(parameters, batch)
        prompts = 2 * parameters * questions * assumed.prompt_tokens / self._flops
        return (decoding + prompts + assumed.session_seconds) / 3600

    def grade(self, suite: str) -> float | None:
        """Return the hours of grading one run's responses to one suite."""
        questions = self.questions(suite)
        return None if questions is None else questions * self.assumed.grade_ms / 3.6e6

    def download(self, model: str) -> float | None:
        """Return the hours of one model's download."""
        parameters = self.parameters(model)
        size = parameters and parameters * BYTES_PER_PARAMETER / 1e6
        return size and size / self.assumed.download_mb_per_second / 3600

    def questions(self, suite: str) -> int | None:
        """Return the number of questions of a suite: what the settings expect, or what was built."""
        numbers = [self._questions(name) for name in self.settings.suite_benchmarks(suite)]
        return None if None in numbers else sum(number or 0 for number in numbers)

    def _questions(self, benchmark: str) -> int | None:
        """Return how many responses are generated; None while the benchmark's size is not known."""
        spec = self.settings.benchmarks[benchmark]
        rows, times = spec.rows, spec.samples or 1
        if rows is None:
            try:
                rows = int(read_json(self.layout.benchmark_manifest(slug(benchmark)))["rows_written"])
            except (OSError, ValueError, KeyError):
                return spec.limit and spec.limit * times
        return min(rows, spec.limit or rows) * times

    @property
    def _flops(self) -> float:
        """FLOPs per second of one GPU."""
        return self.assumed.peak_tflops * 1e12 * self.assumed.utilisation

    def _token_seconds(self, parameters: float, batch: float) -> float:
        """Return the seconds to sample one token of each of `batch` responses."""
        bandwidth = self.assumed.memory_gb_per_second * 1e9 * self.assumed.memory_utilisation
        reading = parameters * BYTES_PER_PARAMETER / bandwidth
        return max(reading, 2 * parameters * batch / self._flops) + self.assumed.token_overhead_ms / 1e3
