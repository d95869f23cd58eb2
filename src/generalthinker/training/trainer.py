"""GRPO with the paper's rewards and token-level advantages: TRL's trainer, two hooks, no copied code.

Different from stock TRL: rewards may look at the policy itself (equation 6), and the advantages that leave
`_generate_and_score_completions` have shape (B, T) instead of (B,), which TRL's loss accepts as it is.
"""

import functools
import time
from typing import Any

import torch
from accelerate.utils import set_seed
from peft import PeftModel
from torch import Tensor
from trl import GRPOTrainer

from generalthinker import rewards
from generalthinker.config.training import MethodSettings, TrainingSettings
from generalthinker.credit import modulate
from generalthinker.prompts import answer_conditioned_prompt
from generalthinker.records import RunSpec
from generalthinker.rewards import Rollout, binary
from generalthinker.rewards.likelihood import reasoning_prefix
from generalthinker.training.colocated import merged_parameters
from generalthinker.training.finite import require_finite
from generalthinker.training.scoring import left_pad, prefix_tokens, span_logps
from generalthinker.training.validation import decoding


class GeneralThinkerTrainer(GRPOTrainer):
    """GRPO whose advantages may be modulated token by token; each dataset row is a `records.Question` plus prompt."""

    # TRL admits image processors and no model at all; here they are always a tokenizer and a PEFT model.
    processing_class: Any
    model: Any
    args: Any
    train_dataset: Any
    eval_dataset: Any

    def __init__(self, *, run: RunSpec, method: MethodSettings, settings: TrainingSettings, **trl: Any) -> None:
        if method.reward is None:
            raise ValueError(f"method {run.method!r} has no reward: there is nothing to train")
        self.run = run
        self.method = method
        self.settings = settings
        self.reward = rewards.get(method.reward)
        self.seconds = {"rollout": 0.0, "scoring": 0.0}
        super().__init__(reward_funcs=[self._reward_rollouts], **trl)
        if self.use_vllm:
            self.vllm_generation._iter_named_params = functools.partial(  # type: ignore[method-assign]
                merged_parameters, self.model
            )
            # An engine that starts seeds its whole process with its rank; every run would sample alike.
            set_seed(self.args.seed, device_specific=True)

    def span_logps(self, contexts: list[str], spans: list[str]) -> list[list[float]]:
        """Return the current policy's log-probabilities of given text (`rewards.Scorer`)."""
        return span_logps(self._tokenizer, self._policy_logps, contexts, spans, self.accelerator.device)

    @torch.no_grad()
    def _policy_logps(self, ids: Tensor, mask: Tensor, keep: int) -> Tensor:
        size = self.args.per_device_train_batch_size
        return self._get_per_token_logps_and_entropies(self.model, ids, mask, keep, batch_size=size)[0]

    def _generate(self, prompts: list) -> tuple:
        started = time.perf_counter()
        generated = super()._generate(prompts)
        self.seconds["rollout"] += time.perf_counter() - started
        return generated

    def _reward_rollouts(self, prompts, completions, completion_ids, **columns) -> list[float | None]:
        """TRL's reward hook: lists in, lists out; leaves the prefix lengths for the credit hook."""
        started = time.perf_counter()
        answers = {name: columns[name] for name in ("answer", "answer_type", "options")}
        rows = [dict(zip(answers, values, strict=True)) for values in zip(*answers.values(), strict=True)]
        rollouts = self._rollouts(prompts, [message["content"] for [message] in completions], completion_ids, rows)
        prefixes = [reasoning_prefix(rollout) for rollout in rollouts]
        self._prefix_lengths = [
            prefix_tokens(self._tokenizer, ids, prefix) if prefix is not None else 0
            for ids, prefix in zip(completion_ids, prefixes, strict=True)
        ]
        values = self.reward(rollouts, self, floor=self.settings.reward_floor)
        require_finite(torch.tensor(values), "reward", self._step_underway, [rollout.prompt for rollout in rollouts])
        self.seconds["scoring"] += time.perf_counter() - started
        return [*values]

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        if not self.method.advantage_modulation:
            return output
        started = time.perf_counter()
        prefix_mask = self.prefix_mask(output)
        modulation = modulate(
            output["advantages"],
            self._signal(inputs, output, prefix_mask),
            prefix_mask,
            strength=self.run.modulation_strength,  # type: ignore[arg-type]
            clip_threshold=self.run.clip_threshold,
            direction_preserving=self.method.direction_preserving,
            bound=self.settings.bound,
        )
        output["advantages"] = modulation.advantages
        self._log_modulation(modulation)
        self.seconds["scoring"] += time.perf_counter() - started
        return output

    def prefix_mask(self, output: dict[str, Any]) -> Tensor:
        """Return which tokens of the latest rollout's completions are reasoning (B, T)."""
        lengths = torch.tensor(self._prefix_lengths, device=output["completion_ids"].device)
        return torch.arange(output["completion_ids"].size(1), device=lengths.device) < lengths.unsqueeze(1)

    def _signal(self, inputs: list[dict[str, Any]], output: dict[str, Any], prefix_mask: Tensor) -> Tensor:
        """Return s (B, T), equation 7: log π_θ(r | x̃) − log π_ref(r | x); values outside the prefix mean nothing."""
        conditioned = [answer_conditioned_prompt(self._tokenizer, row["question"], row["answer"]) for row in inputs]
        encoded = self.processing_class(conditioned, add_special_tokens=False)["input_ids"]
        prompt_ids, prompt_mask = left_pad(encoded, self._tokenizer.pad_token_id, prefix_mask.device)
        completion_ids = output["completion_ids"]
        logps = self._policy_logps(
            torch.cat([prompt_ids, completion_ids], dim=1),
            torch.cat([prompt_mask, prefix_mask.long()], dim=1),
            completion_ids.size(1),
        )
        signal = logps - self._reference_logps(output)
        require_finite(
            torch.where(prefix_mask, signal, 0.0), "signal s of equation 7", self._step_underway, conditioned
        )
        return signal

    @torch.no_grad()
    def _reference_logps(self, output: dict[str, Any]) -> Tensor:
        """Return log π_ref(y | x) (B, T): TRL's own where the KL term needs it too, else one pass, adapter off."""
        if "ref_per_token_logps" in output:
            return output["ref_per_token_logps"]
        ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
        mask = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
        model = self.accelerator.unwrap_model(self.model)
        assert isinstance(model, PeftModel)
        with model.disable_adapter():
            return self._policy_logps(ids, mask, output["completion_ids"].size(1))

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Return TRL's loss of a micro-batch; raises NonFiniteError where it is NaN or infinite."""
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if not loss.isfinite():
            prompts = [
                self._tokenizer.decode(ids[mask.bool()])
                for ids, mask in zip(inputs["prompt_ids"], inputs["prompt_mask"], strict=True)
            ]
            require_finite(loss, "loss", self._step_underway, prompts)
        return loss

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval") -> dict[str, float]:
        """Return and log the accuracy (0 to 1) of the validation questions' final answers, as benchmarks count it."""
        rows = self.eval_dataset.shard(self.accelerator.num_processes, self.accelerator.process_index).to_list()
        # vLLM makes its own batches; without it, as many rows at a time as a rollout has.
        size = len(rows) if self.use_vllm else self.args.per_device_train_batch_size * self.args.steps_per_generation
        batches = [rows[start : start + size] for start in range(0, len(rows), max(1, size))]
        with decoding(self, self.settings.validation_decoding == "sampled", self.args.seed):
            correct = sum(self._correct_answers(batch) for batch in batches)
            counts = torch.tensor([correct, len(rows)], device=self.accelerator.device)
            right, all_of_them = self.accelerator.reduce(counts, reduction="sum").tolist()
            metrics = {f"{metric_key_prefix}_accuracy": right / all_of_them}
            self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _correct_answers(self, rows: list[dict[str, Any]]) -> int:
        """Return how many of `rows` the policy answers correctly before the token limit."""
        prompts = [row["prompt"] for row in rows]
        prompt_ids, *_ = self._tokenize_prompts(prompts)
        completion_ids, _ = self._generate_single_turn(prompt_ids, None, {}, 1)
        texts = self.processing_class.batch_decode(completion_ids, skip_special_tokens=True)
        return int(sum(binary.reward(self._rollouts(prompts, texts, completion_ids, rows), self, floor=0.0)))

    def _rollouts(self, prompts, texts: list[str], completion_ids: list[list[int]], rows: list[dict]) -> list[Rollout]:
        """Return what rewards look at; `rows` hold the questions' answer columns."""
        asked = self.processing_class.apply_chat_template(prompts, tokenize=False, add_generation_prompt=True)
        return [
            Rollout(prompt, text, ids[-1] not in self.eos_token_ids, row["answer"], row["answer_type"], row["options"])
            for prompt, text, ids, row in zip(asked, texts, completion_ids, rows, strict=True)
        ]

    @property
    def _step_underway(self) -> int:
        return self.state.global_step + 1

    def _log_modulation(self, modulation) -> None:
        """Add the two ratios to the step's metrics, weighted by prefix tokens over all processes."""
        shares = torch.stack([modulation.clip_ratio, modulation.sign_flip_ratio]) * modulation.tokens
        totals = self.accelerator.reduce(torch.cat([shares, modulation.tokens.float().unsqueeze(0)]), reduction="sum")
        clip, flip = (totals[:2] / totals[2].clamp(min=1)).tolist()
        mode = "train" if self.model.training else "eval"
        self._metrics[mode]["modulation/clip_ratio"].append(clip)
        self._metrics[mode]["modulation/sign_flip_ratio"].append(flip)
