"""One training run: settings and data in, adapter, history and run record out; killed and started again, it goes on."""

import logging
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, ProgressCallback
from transformers.integrations import TensorBoardCallback
from trl import GRPOConfig

from generalthinker.config.settings import Settings
from generalthinker.decoding import without_sampling_parameters
from generalthinker.disk import naming_full_disk
from generalthinker.files import read_json, read_parquet, write_json, write_parquet
from generalthinker.identity import Identity
from generalthinker.keeping import Store, link
from generalthinker.metrics import VLLM
from generalthinker.paths import Layout
from generalthinker.prompts import question_messages
from generalthinker.provenance import commit, hardware, peak_memory, versions
from generalthinker.records import RunSpec, slug
from generalthinker.training.checkpoints import (
    MarkComplete,
    checkpoint_of,
    good_checkpoints,
    newest_good,
    removing_unfinished,
    require_good,
    step_of,
)
from generalthinker.training.history import History
from generalthinker.training.interrupt import InterruptedTrainingError, StopOnSignal
from generalthinker.training.launcher import split_batch
from generalthinker.training.start import MADE_BY, SESSIONS, checkpoints_of, sessions
from generalthinker.training.tracking import tensorboard, tracked_name
from generalthinker.training.trainer import MethodTrainer
from generalthinker.training.validation import SaveWhatIsValidated

ADAPTER = "adapter_model.safetensors"
OTHER_STEPS = "steps"  # in an adapter's folder: the adapters of its run's checkpoints, in folders called by their step
logger = logging.getLogger(__name__)


def train(settings: Settings, run: RunSpec, identity: Identity, processes: int = 1) -> None:
    """Train `run` and keep its adapter, history, timing and record under `identity`.

    Resumes from the newest good checkpoint of the same identity. The caller holds the run folder's lock. Raises
    InterruptedTrainingError after a checkpoint on SIGINT, SIGTERM or SIGUSR1.
    """
    started = time.time()
    layout = Layout(settings.results)
    main = os.environ.get("RANK", "0") == "0"
    checkpoints = checkpoints_of(layout, run) / identity.hash
    checkpoints.mkdir(parents=True, exist_ok=True)
    arguments = grpo_arguments(settings, run, processes, str(checkpoints))
    tracked = tracked_name(run, identity)
    trainer = build_trainer(settings, run, arguments | {"project": settings.name, "run_name": tracked})

    own = (*(VLLM if trainer.use_vllm else ()), *trainer.method.METRICS)
    history = History(checkpoints, trainer.seconds, own)
    stop = StopOnSignal()
    # The history's own line per step says more in a log file than a progress bar.
    for kind in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(kind)
    for callback in (history, SaveWhatIsValidated(), MarkComplete(), stop):
        trainer.add_callback(callback)
    resume = newest_good(checkpoints) if main else None
    if processes > 1:
        from accelerate.utils import broadcast_object_list

        resume = broadcast_object_list([resume])[0]
    if main:
        history.trim(step_of(resume) if resume else 0)
        write_json(checkpoints / SESSIONS, [*sessions(checkpoints), _session(processes, resume)])
        if settings.training.report_to == "tensorboard":
            trainer.remove_callback(TensorBoardCallback)
            trainer.add_callback(tensorboard(settings, tracked, step_of(resume) if resume else 0))
        logger.info("%s: %s", run.name, f"resuming from {resume}" if resume else "starting")
    with naming_full_disk(checkpoints), removing_unfinished(checkpoints), stop:
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    if stop.received:
        raise InterruptedTrainingError(
            f"{run.name}: {stop.received} at step {trainer.state.global_step}; a checkpoint is in {checkpoints}, "
            "start the same command again to continue"
        )
    if not main:
        return

    model = trainer.accelerator.unwrap_model(trainer.model)
    kept = trainer.state.best_global_step or trainer.state.global_step
    if settings.training.validate_every:
        load_adapter(model, require_good(checkpoint_of(checkpoints, kept)))

    metrics, timing = history.frames()
    with Store(settings.results).keeping(identity) as folder:
        write_parquet(folder / "history.parquet", metrics, {"run": run.name})
        write_parquet(folder / "timing.parquet", timing, {"run": run.name})
        write_json(
            folder / "run.json",
            {
                "run": run.name,
                "identity": identity.deciding,
                "code": identity.code,
                "continued_from": read_json(checkpoints / MADE_BY).get("continued_from"),
                "grpo": {key: value for key, value in arguments.items() if key != "output_dir"},
                "processes": processes,
                "sessions": sessions(checkpoints),
                "versions": versions(),
                "hardware": hardware(),
                "commit": commit(),
                "steps": trainer.state.global_step,
                "validation": [
                    {"step": row["step"], "accuracy": row["eval_accuracy"]}
                    for row in trainer.state.log_history
                    if "eval_accuracy" in row
                ],
                "kept_step": kept,
                "seconds_since_start": round(time.time() - started, 1),
                "peak_memory_gib": peak_memory(),
                "training_seconds": round(float(timing["seconds"].sum()), 1),
                "resumed_from_step": step_of(resume) if resume else None,
            },
        )
        model.save_pretrained(folder / "adapter")
        for checkpoint in good_checkpoints(checkpoints) if settings.training.keep_adapters else ():
            of_step = folder / "adapter" / OTHER_STEPS / str(step_of(checkpoint))
            of_step.mkdir(parents=True)
            link(checkpoint / ADAPTER, of_step / ADAPTER)


def grpo_arguments(settings: Settings, run: RunSpec, processes: int, output_dir: str) -> dict[str, Any]:
    """Return every GRPOConfig value that matters, none left to a default that may change."""
    training = settings.training_of(run)
    cuda = torch.cuda.is_available()
    vllm = training.rollout_engine == "vllm"
    arguments: dict[str, Any] = {
        "output_dir": output_dir,
        "seed": run.seed,
        "num_train_epochs": training.epochs,
        "max_steps": training.max_steps or -1,
        "per_device_train_batch_size": training.micro_batch_size,
        "gradient_accumulation_steps": split_batch(training, processes),
        "steps_per_generation": split_batch(training, processes),  # one rollout per optimizer step
        "num_generations": training.group_size,
        "num_iterations": 1,
        "shuffle_dataset": True,
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": training.lr_scheduler,
        "warmup_steps": training.warmup_ratio,  # below 1: a share of all steps
        "optim": training.optimizer,
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "adam_epsilon": 1e-8,
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "beta": training.kl_coef,
        "epsilon": training.clip_range,
        "epsilon_high": None,
        "delta": None,
        "loss_type": "grpo",
        "scale_rewards": "group",
        "importance_sampling_level": "token",
        "use_bias_correction_kl": False,
        "sync_ref_model": False,
        "off_policy_mask_threshold": None,
        "top_entropy_quantile": 1.0,
        "entropy_coef": 0.0,
        "use_adaptive_entropy": False,
        "multi_objective_aggregation": "sum_then_normalize",
        "reward_weights": None,
        "mask_truncated_completions": training.mask_truncated,
        "max_completion_length": training.max_completion_tokens,
        "temperature": training.temperature,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": None,
        "repetition_penalty": 1.0,
        "generation_kwargs": None,
        "chat_template_kwargs": None,
        "cache_implementation": None,
        "pad_to_multiple_of": None,
        "cast_lm_head_to_fp32": False,
        "disable_dropout": False,
        "remove_unused_columns": False,
        "bf16": training.precision == "bf16",
        "fp16": False,
        "tf32": False if cuda else None,
        "use_cpu": not cuda,
        "gradient_checkpointing": training.gradient_checkpointing,
        "dataloader_num_workers": 0,
        "ddp_find_unused_parameters": False,  # every pass uses the whole adapter
        "ddp_broadcast_buffers": False,  # they are constants, and processes make different numbers of passes
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_first_step": False,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": training.save_every,
        "save_total_limit": training.keep_checkpoints + bool(training.validate_every),  # and the best
        "save_only_model": False,
        "ignore_data_skip": False,
        "eval_strategy": "steps" if training.validate_every else "no",
        "eval_steps": training.validate_every,
        "num_generations_eval": 1,
        "metric_for_best_model": "accuracy" if training.validate_every else None,
        "greater_is_better": True if training.validate_every else None,
        "load_best_model_at_end": False,  # loaded here, from a checkpoint that is known to be whole
        "report_to": training.report_to,
        "use_vllm": vllm,
    }
    if vllm:
        arguments |= {
            "vllm_mode": "colocate",
            "vllm_gpu_memory_utilization": training.vllm_memory_share,
            "vllm_max_model_length": settings.data.max_prompt_tokens + training.max_completion_tokens,
            "vllm_importance_sampling_correction": False,
        }
    return arguments | settings.grpo_options(run)


def build_trainer(settings: Settings, run: RunSpec, arguments: dict[str, Any]) -> MethodTrainer:
    """Return the trainer of `run` on the settings' model and training questions, with a fresh adapter."""
    layout = Layout(settings.results)
    model_folder = Path(layout.model(slug(run.model)))
    tokenizer = AutoTokenizer.from_pretrained(model_folder, padding_side="left")
    dtype = torch.bfloat16 if settings.training.precision == "bf16" else torch.float32
    lora = settings.training.lora
    method = settings.method(run)
    return MethodTrainer(
        method=method,
        settings=settings.training_of(run),
        models={role: Path(layout.model(slug(entry))) for role, entry in method.models.items()},
        model=without_sampling_parameters(AutoModelForCausalLM.from_pretrained(model_folder, dtype=dtype)),
        args=GRPOConfig(**arguments),
        train_dataset=_rows_of(layout.train),
        eval_dataset=_rows_of(layout.validation) if settings.training.validate_every else None,
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=list(lora.target_modules),
            bias="none",
            task_type="CAUSAL_LM",
        ),
    )


def load_adapter(model: PeftModel, folder: Path) -> None:
    """Give `model` the adapter weights that were saved in `folder`."""
    set_peft_model_state_dict(model, load_file(folder / ADAPTER))


def training_rows(questions: Iterable[Mapping[Any, Any]]) -> Dataset:
    """Return questions as TRL's prompt-only rows, with the columns that rewards and credit read."""
    return Dataset.from_list(
        [
            {
                "prompt": question_messages(row["question"]),
                "question": row["question"],
                "answer": row["answer"],
                "answer_type": row["answer_type"],
                "options": None if row["options"] is None else list(row["options"]),
            }
            for row in questions
        ]
    )


def _rows_of(file: str) -> Dataset:
    questions, _ = read_parquet(file)
    return training_rows(questions.to_dict("records"))


def _session(processes: int, resume: Path | None) -> dict[str, Any]:
    """Return what one start of a training adds to its record."""
    return {
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
        "from_step": step_of(resume) if resume else 0,
        "processes": processes,
        "hardware": hardware(),
        "commit": commit(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
    }
