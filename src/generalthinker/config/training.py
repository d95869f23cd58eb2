"""Training settings that all methods share: the paper's Table 7, and choices that its text leaves open."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from generalthinker.sections import Count, Fraction, Section

# The values of vLLM's max_lora_rank. It pads an adapter of a lower rank.
VLLM_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


def max_lora_rank(rank: int) -> int:
    """Return the `max_lora_rank` with which vLLM serves an adapter of `rank`. Raises ValueError if it cannot."""
    for allowed in VLLM_LORA_RANKS:
        if allowed >= rank:
            return allowed
    raise ValueError(f"vLLM serves LoRA adapters of a rank up to {VLLM_LORA_RANKS[-1]}, this one's rank is {rank}")


class LoraSettings(Section):
    """The low-rank adapter that is trained. The model's own weights do not change and are the reference policy."""

    rank: Count = 32
    alpha: Count = 64
    dropout: Fraction = 0.0
    target_modules: list[str] = Field(["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])


class TrainingSettings(Section):
    """GRPO with LoRA. Defaults are the paper's values, or the choices in docs/method.md if it gives none."""

    epochs: Annotated[float, Field(gt=0)] = 1.0
    max_steps: Count | None = Field(None, description="stop after this many optimizer steps; None: train for `epochs`")
    batch_size: Count = Field(64, description="completions per optimizer step, over all devices")
    micro_batch_size: Count = Field(
        8,
        description="bounds the memory of a backward pass: at most the positions of this many completions padded to "
        "the longest of the step; results do not depend on it, except for rounding",
    )
    group_by_length: bool = Field(
        True,
        description="pass responses of similar length through the model together. False: TRL's micro-batches of random "
        "lengths, padded to the longest of the step; slower, with results equal but for rounding",
    )
    group_size: Annotated[int, Field(ge=2)] = Field(8, description="G, completions sampled for one prompt")
    learning_rate: Annotated[float, Field(gt=0)] = 1.0e-6
    lr_scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    warmup_ratio: Fraction = 0.1
    optimizer: Literal["adamw_torch", "adamw_torch_fused"] = "adamw_torch"
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    kl_coef: Annotated[float, Field(ge=0)] = Field(0.001, description="weight of the k3 KL estimate, equation 5")
    clip_range: Annotated[float, Field(gt=0, lt=1)] = Field(0.2, description="ε of the clipped objective, equation 4")
    temperature: Annotated[float, Field(gt=0)] = 1.0
    max_completion_tokens: Count = 1024
    mask_truncated: bool = Field(True, description="leave truncated completions out of the loss")
    precision: Literal["bf16", "fp32"] = "bf16"
    gradient_checkpointing: bool = True
    rollout_engine: Literal["vllm", "transformers"] = "vllm"
    rollout_weights: Literal["merged", "stochastic", "native"] = Field(
        "native",
        description="how vLLM gets the adapter: `merged` into the weights, rounded to the nearest values; merged with "
        "`stochastic` rounding; or loaded as a LoRA adapter (`native`)",
    )
    vllm_memory_share: Fraction = Field(0.3, description="share of a GPU's memory that the rollout engine may take")
    further_memory_share: Fraction = Field(
        0.1,
        description="share of a GPU's memory that vLLM may take for each further model of a method, such as a verifier",
    )
    save_every: Count = Field(300, description="optimizer steps between checkpoints")
    keep_checkpoints: Annotated[int, Field(ge=2)] = Field(
        2, description="number of newest checkpoints kept; at least 2, because one may be damaged"
    )
    keep_adapters: bool = Field(
        False,
        description="keep the adapters of these checkpoints when the run is finished, so that the credit viewer can "
        "show how the credit has changed",
    )
    validate_every: Count | None = Field(
        300,
        description="optimizer steps between validations; one more validation follows the last step. The adapter with "
        "the highest accuracy is kept, the earliest in a tie. None: no validation, and the last adapter is kept",
    )
    validation_decoding: Literal["greedy", "sampled"] = Field(
        "greedy", description="decoding in validation: greedy, or one sample per question at `temperature`"
    )
    report_to: Literal["none", "tensorboard", "wandb", "trackio"] = "none"
    lora: LoraSettings = LoraSettings()

    @model_validator(mode="after")
    def _batches_divide(self) -> Self:
        if self.batch_size % self.group_size:
            below, above = (self.batch_size // self.group_size) * self.group_size, self.group_size
            raise ValueError(
                f"batch_size = {self.batch_size} is not divisible by group_size = {self.group_size}; "
                f"allowed: multiples of {self.group_size}, e.g. {max(below, above)} or {below + self.group_size}"
            )
        if self.batch_size % self.micro_batch_size:
            divisors = [n for n in range(1, self.batch_size + 1) if self.batch_size % n == 0]
            raise ValueError(
                f"micro_batch_size = {self.micro_batch_size} does not divide batch_size = {self.batch_size}; "
                f"allowed: {divisors}"
            )
        return self

    @model_validator(mode="after")
    def _vllm_takes_the_rank(self) -> Self:
        if self.rollout_engine == "vllm" and self.rollout_weights == "native":
            try:
                max_lora_rank(self.lora.rank)
            except ValueError as error:
                raise ValueError(f"{error}: set a lower lora.rank, or rollout_weights: stochastic") from None
        return self


class EvaluationSettings(Section):
    """Greedy decoding of the benchmarks."""

    engine: Literal["vllm", "transformers", "auto"] = Field(
        "vllm", description="`auto`: vLLM if it starts on this machine, otherwise transformers, with a warning"
    )
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    max_new_tokens: Count = 1024
    max_model_len: Count = Field(4096, description="longest prompt plus response, in tokens")
    gpu_memory_utilization: Fraction = 0.9
    tensor_parallel_size: Count = 1
    seed: int = 0
    sampling_temperature: float = Field(0.6, gt=0, description="of benchmarks with `samples`; the others are greedy")
    sampling_top_p: Fraction = Field(0.95, description="of benchmarks with `samples`")
    batch_size: Count = Field(64, description="prompts per forward pass; only the transformers engine uses it")
    suites: dict[str, list[str]] = Field(description="benchmarks that one engine session evaluates together")
