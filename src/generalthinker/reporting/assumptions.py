"""ESTIMATES, not measurements: what `plan` and `status` assume about jobs that nobody has measured yet.

Every number stands here, with where it comes from; `generalthinker plan --assume name=value` replaces it. The hours of
a job are computed from these in `estimate.py`, and measured times replace them as soon as there are any.
"""

from typing import Annotated

from pydantic import Field, ValidationError

from generalthinker.errors import StageError
from generalthinker.sections import Fraction, Section

Positive = Annotated[float, Field(gt=0)]


class AssumptionError(StageError, ValueError):
    """A name or a value that is no assumption."""


class Assumptions(Section):
    """The assumed sizes and speeds. The cluster profile gives the GPUs, the settings give all other numbers."""

    billions: dict[str, Positive] = Field(
        {"Qwen/Qwen2.5-1.5B-Instruct": 1.54, "Qwen/Qwen2.5-3B-Instruct": 3.09, "Qwen/Qwen2.5-7B-Instruct": 7.62},
        description="parameters by hub id: the models' cards; of other models, the number in the label (1.5B)",
    )
    peak_tflops: Positive = Field(312.0, description="of one GPU in bfloat16: NVIDIA's A100 data sheet")
    memory_gb_per_second: Positive = Field(2039.0, description="of one GPU: NVIDIA's A100 80 GB (SXM) data sheet")
    utilisation: Fraction = Field(0.25, description="share of the peak in scoring, updates and large batches: a guess")
    memory_utilisation: Fraction = Field(0.6, description="share of the bandwidth while tokens are sampled: a guess")
    prompt_tokens: Positive = Field(150.0, description="mean, chat template included: a guess")
    response_tokens: Positive = Field(400.0, description="mean of one response: a guess for Qwen2.5 on such questions")
    padding: Annotated[float, Field(ge=1)] = Field(
        1.1,
        description="positions computed per token of text: 1.1 with 64 responses per GPU, 1.3 with 16, if lengths are "
        "log-normal (docs/performance.md)",
    )
    scoring_passes: Annotated[float, Field(ge=0)] = Field(
        3.0,
        description="forward passes besides the update: initial policy, answer, answer-conditioned prompt (eq. 5-7)",
    )
    token_overhead_ms: Annotated[float, Field(ge=0)] = Field(
        5.0, description="per sampled token of a batch, besides reading the weights: a guess"
    )
    step_overhead_seconds: Annotated[float, Field(ge=0)] = Field(
        3.0, description="per optimizer step: weights to the rollout engine, grading, optimizer: a guess"
    )
    validation_batch: Positive = Field(8.0, description="responses per GPU at a time: transformers' default")
    evaluation_batch: Positive = Field(256.0, description="responses at a time: vLLM's usual limit")
    session_seconds: Annotated[float, Field(ge=0)] = Field(
        90.0, description="to start an engine or a training: a guess"
    )
    download_mb_per_second: Positive = Field(50.0, description="from the hub: a guess")
    benchmark_seconds: Annotated[float, Field(ge=0)] = Field(60.0, description="to build a benchmark: a guess")
    mixture_seconds: Annotated[float, Field(ge=0)] = Field(
        92.0, description="to build the mixture: benchmarks/mixture.py on two cores"
    )
    grade_ms: Annotated[float, Field(ge=0)] = Field(
        2.0, description="per response: benchmarks/grading_speed.py measured 0.2 to 3 on two cores"
    )

    def describe(self) -> list[str]:
        """Return a line per assumption: name, value, and where the value comes from."""
        lines = []
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            shown = ", ".join(f"{key} {of}" for key, of in value.items()) if isinstance(value, dict) else f"{value:g}"
            given = " (as given)" if name in self.model_fields_set else ""
            lines.append(f"  {name} = {shown}{given}: {field.description}")
        return lines


def assume(texts: list[str]) -> Assumptions:
    """Return the assumptions with those in `texts` replaced: name=value, or billions.<model>=value.

    Raises AssumptionError that names the allowed ones.
    """
    given: dict[str, object] = {}
    billions = dict(Assumptions().billions)
    for text in texts:
        name, _, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            raise AssumptionError(f"--assume {text}: expected name=number, e.g. --assume response_tokens=600") from None
        if name.startswith("billions."):
            billions[name.removeprefix("billions.")] = value
            given["billions"] = billions
        elif name == "billions" or name not in Assumptions.model_fields:
            allowed = [known for known in Assumptions.model_fields if known != "billions"]
            raise AssumptionError(
                f"--assume {text}: no such assumption; allowed: {', '.join(allowed)}, billions.<entry of `models`>"
            )
        else:
            given[name] = value
    try:
        return Assumptions.model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise AssumptionError(f"--assume {place}={problem['input']}: {problem['msg'].lower()}") from None
