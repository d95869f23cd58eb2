"""Settings of the datasets, the training mixture and the models."""

from typing import Annotated, Literal

from pydantic import Field

from generalthinker.sections import Count, Fraction, Section


class SourceSettings(Section):
    """One dataset split, pinned, and the adapter that turns its rows into questions."""

    adapter: str = Field(description="module in generalthinker/data/sources that reads this dataset's columns")
    dataset: str = Field(description="dataset id on the Hugging Face hub, or `synthetic`")
    subset: str | None = Field(None, description="the dataset's configuration name; for `synthetic`, the task")
    split: str = "test"
    revision: str | None = Field(None, description="commit of the dataset repository; None only for `synthetic`")
    rows: Count | None = Field(None, description="rows the split must have; None where the source does not state it")
    gated: bool = Field(False, description="True where the hub asks for an accepted licence and a token")


class BenchmarkSettings(SourceSettings):
    """A dataset that models are evaluated on."""

    group: str = Field(description="the tables' group that this benchmark's accuracy is averaged in")
    limit: Count | None = Field(None, description="evaluate only the first N questions (a trial, never a table)")


class TrainingSourceSettings(SourceSettings):
    """A dataset that training questions are drawn from."""

    take: Literal["all", "fill"] = Field(
        "all", description="`all`: every row that survives the filters; `fill`: a hash-ordered draw up to the total"
    )


class DataSettings(Section):
    """The training mixture."""

    seed: int = 1
    train_rows: Count
    validation_rows: Count
    max_prompt_tokens: Count = Field(320, description="longer questions are dropped; tokens of the chat prompt")
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


class TinyModelSettings(Section):
    """A small Qwen2-architecture model, built and pre-trained by a rule from synthetic questions."""

    kind: Literal["tiny"]
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
    worked_share: Fraction = Field(description="share of pre-training texts with the worked, right solution")
    answer_conditioned_share: Fraction = Field(description="share of texts whose prompt already gives the answer")
    seed: int = 1


ModelSettings = Annotated[HubModelSettings | TinyModelSettings, Field(discriminator="kind")]
