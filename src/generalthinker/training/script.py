"""A method in a TRL script of one's own: a model, questions and a GRPOConfig, without the pipeline's configuration."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM, PreTrainedModel
from trl import GRPOConfig

from generalthinker.config.training import LoraSettings, TrainingSettings
from generalthinker.decoding import without_sampling_parameters
from generalthinker.methods import Method
from generalthinker.training.run import training_rows
from generalthinker.training.trainer import MethodTrainer

# What a question has where it says nothing else: its answer is compared as mathematics (`answers.COMPARISONS`).
DEFAULTS = {"answer_type": "math", "options": None}


def method_trainer(
    method: Method,
    model: str | Path | PreTrainedModel,
    questions: Iterable[Mapping[str, Any]],
    args: GRPOConfig,
    peft_config: LoraConfig,
    models: dict[str, Path] | None = None,
    **trl: Any,
) -> MethodTrainer:
    """Return a TRL trainer that trains an adapter on `model` by `method`; `train()` and `save_model()` are TRL's.

    `questions` are mappings with `question` and `answer`, and `answer_type` and `options` where an answer is not
    mathematics; the prompt is made of them as in `prompts.py`. `args` are used as they are, with TRL's own defaults.
    `models` are the folders of the additional models that the method needs, by role; `trl` goes to TRL's trainer.
    Raises ValueError for what the methods cannot be trained with.
    """
    if method.training_overrides:
        raise ValueError(
            f"{method.family}: this form of the method replaces settings of the pipeline, {method.training_overrides}, "
            "which a GRPOConfig of one's own does not know; use `form: matched`, and set these in `args`"
        )
    if args.num_iterations != 1 or args.steps_per_generation != args.gradient_accumulation_steps:
        raise ValueError(
            "a method sees the responses of one optimizer step together: leave num_iterations, steps_per_generation "
            f"and generation_batch_size out of `args`; found num_iterations = {args.num_iterations}, "
            f"steps_per_generation = {args.steps_per_generation} with gradient_accumulation_steps = "
            f"{args.gradient_accumulation_steps}"
        )
    if args.use_vllm and args.vllm_mode != "colocate":
        raise ValueError(f"vllm_mode = {args.vllm_mode!r}: only 'colocate' gets the adapter at every step")
    if not isinstance(model, PreTrainedModel):
        dtype = torch.bfloat16 if args.bf16 else torch.float32
        model = AutoModelForCausalLM.from_pretrained(model, dtype=dtype)
    sizes: Any = args  # TRL has set those that were left out; its types still allow None
    settings = TrainingSettings(
        batch_size=sizes.generation_batch_size,
        micro_batch_size=args.per_device_train_batch_size,
        group_size=sizes.num_generations,
        precision="bf16" if args.bf16 else "fp32",
        rollout_engine="vllm" if args.use_vllm else "transformers",
        lora=LoraSettings(rank=peft_config.r),
    )
    return MethodTrainer(
        method=method,
        settings=settings,
        models=models,
        model=without_sampling_parameters(model),
        args=args,
        train_dataset=training_rows(DEFAULTS | dict(row) for row in questions),
        peft_config=peft_config,
        **trl,
    )
