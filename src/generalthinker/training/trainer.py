"""GRPO with a method's rewards and token-level advantages: TRL's trainer, extended by the hooks of `methods/`.

Differences from TRL: rewards may use the policy's probabilities (equation 6), a method may compute the advantages, and
`_generate_and_score_completions` may return advantages (B, T) instead of (B,), which TRL's loss accepts unchanged.
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object, set_seed
from peft import PeftModel
from torch import Tensor, nn

from generalthinker.answers.boxed import last_box
from generalthinker.config.training import TrainingSettings
from generalthinker.methods.method import AnswerLoss, Method, Responses, ScoredRollout, Step
from generalthinker.metrics import BOXED
from generalthinker.rewards import Policy, Rollout, is_correct, reasoning_prefix
from generalthinker.training import further_models
from generalthinker.training.checkpoints import checkpoint_of
from generalthinker.training.colocated import connect, engine_options
from generalthinker.training.finite import require_finite
from generalthinker.training.lengths import IGNORED, LengthGroupingTrainer, labels_only, scored_tokens
from generalthinker.training.memory import Memory, UpdateSlowPolicy
from generalthinker.training.sampling_gap import SamplingGap
from generalthinker.training.scoring import encode_spans, left_pad, prefix_tokens, span_logps, tokens_beginning
from generalthinker.training.validation import decoding


class MethodTrainer(LengthGroupingTrainer):
    """GRPO with a `Method`; each dataset row has the fields of a `records.Question` and its prompt.

    `models` are the folders of the additional models that the method needs, by role.
    """

    # TRL's types also allow image processors and no model; here they are always a tokenizer and a PEFT model.
    processing_class: Any
    model: Any
    args: Any
    train_dataset: Any
    eval_dataset: Any

    def __init__(
        self, *, method: Method, settings: TrainingSettings, models: dict[str, Path] | None = None, **trl: Any
    ) -> None:
        if not method.trained:
            raise ValueError(f"the method family {method.family!r} has no reward: there is nothing to train")
        self.method = method
        self.settings = settings
        self.seconds = {"rollout": 0.0, "scoring": 0.0}
        with engine_options(settings):
            super().__init__(group_by_length=settings.group_by_length, reward_funcs=[self._reward_rollouts], **trl)
        self.models = further_models.load(models or {}, settings, self.accelerator.device)
        self._tokens_beginning = tokens_beginning(self._tokenizer)
        self.sampling_gap = SamplingGap(self.accelerator)
        self.memory = Memory(self.model, method.slow_policy)
        self.add_callback(UpdateSlowPolicy(self.memory))
        if self.use_vllm:
            connect(self.vllm_generation, self.model, settings, self.args.seed, lambda: self.state.global_step)
            # vLLM seeds the process with its rank when it starts; without a new seed, all runs would sample alike.
            set_seed(self.args.seed, device_specific=True)

    # The interface for methods (`rewards.Scorer`).

    @property
    def tokenizer(self) -> Any:
        """The policy's tokenizer."""
        return self._tokenizer

    def span_logps(
        self,
        contexts: list[str],
        spans: list[str],
        *,
        after: list[str] | None = None,
        any_ending: bool = False,
        policy: Policy = "current",
    ) -> list[list[float]]:
        """Return the log-probabilities of given text under a policy (`rewards.Scorer`)."""
        if any_ending and after:
            raise ValueError("any_ending leaves the text open after the span: nothing can be given as `after`")
        logps = self._any_ending_logps if any_ending else self._policy_logps
        with self._acting(policy):
            return span_logps(self._tokenizer, logps, contexts, spans, self.accelerator.device, after)

    def ask(self, role: str, prompts: list[str], *, max_new_tokens: int, seconds: float) -> list[str | None]:
        """Return what an additional model answers (`rewards.Scorer`)."""
        return self.models.ask(role, prompts, max_new_tokens=max_new_tokens, seconds=seconds)

    def model_folder(self, role: str) -> Path:
        """Return the folder of an additional model (`rewards.Scorer`)."""
        return self.models.folders[role]

    def _acting(self, policy: Policy) -> AbstractContextManager[Any]:
        """Return a context manager that makes the model act as `policy`."""
        if policy == "initial":
            model = self.accelerator.unwrap_model(self.model)
            assert isinstance(model, PeftModel)
            return model.disable_adapter()
        return self.memory.slow() if policy == "slow" else nullcontext()

    @torch.no_grad()
    def _policy_logps(self, ids: Tensor, mask: Tensor, keep: int) -> Tensor:
        size = self.args.per_device_train_batch_size
        with evaluating(self.model):
            return self._get_per_token_logps_and_entropies(self.model, ids, mask, keep, batch_size=size)[0]

    @torch.no_grad()
    def _any_ending_logps(self, ids: Tensor, mask: Tensor, keep: int) -> Tensor:
        """Return `_policy_logps`, the last column replaced by that of all tokens that begin with the last token."""
        model = self.accelerator.unwrap_model(self.model).get_base_model()
        head = model.get_output_embeddings()

        def forward(ids: Tensor, labels: Tensor) -> tuple[Tensor]:
            with self.accelerator.autocast(), labels_only(), last_hidden_states(model.base_model) as states:
                logps = self.model(input_ids=ids, labels=labels, fused_lm_head=True).log_probs.clone()
                rows, last = torch.arange(len(ids), device=ids.device), (labels != IGNORED).cumsum(dim=1).argmax(dim=1)
                everything = head(states[0][rows, last - 1]).float() / self.temperature
            for row, place in enumerate(last.tolist()):
                endings = self._tokens_beginning(int(ids[row, place]))
                logps[row, place - 1] = everything[row, endings].logsumexp(0) - everything[row].logsumexp(0)
            return (logps,)

        with evaluating(self.model):
            return scored_tokens(forward, ids, mask, keep, self._positions(ids.size(1)))[0]

    def _get_per_token_logps_and_entropies(self, *inputs, **options):
        outputs = super()._get_per_token_logps_and_entropies(*inputs, **options)
        self.sampling_gap.trainer_logps = outputs[0].detach()
        return outputs

    # The hooks, in the order in which TRL calls them.

    def _generate(self, prompts: list) -> tuple:
        started = time.perf_counter()
        generated = super()._generate(prompts)
        self.seconds["rollout"] += time.perf_counter() - started
        return generated

    def _reward_rollouts(self, prompts, completions, completion_ids, **columns) -> list[float | None]:
        """Return the rewards to TRL, and keep the step and the prefix lengths for the later hooks."""
        started = time.perf_counter()
        names = ("question", "answer", "answer_type", "options")
        rows = [dict(zip(names, values, strict=True)) for values in zip(*(columns[n] for n in names), strict=True)]
        rollouts = self._rollouts(prompts, [message["content"] for [message] in completions], completion_ids, rows)
        prefixes = [reasoning_prefix(rollout) for rollout in rollouts]
        self._prefix_lengths = [
            prefix_tokens(self._tokenizer, ids, prefix) if prefix is not None else 0
            for ids, prefix in zip(completion_ids, prefixes, strict=True)
        ]
        scores = self.method.score(rollouts, self)
        self._local = rollouts
        self._underway = self._gathered([ScoredRollout(*pair) for pair in zip(rollouts, scores, strict=True)])
        self._rewards = self.method.rewards(self._underway)
        values = self._own_part(self._rewards)
        require_finite(torch.tensor(values), "reward", self._step_underway, [rollout.prompt for rollout in rollouts])
        self.seconds["scoring"] += time.perf_counter() - started
        return [*values]

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        started = time.perf_counter()
        if self.beta and self.method.kl_anchor != "initial":
            output["ref_per_token_logps"] = Completions(self, output).logps(policy=self.method.kl_anchor)
        self._set_advantages(output)
        self._add_answer_losses(output)
        credit = self.method.token_credit(Completions(self, output))
        if credit is not None:
            output["advantages"] = credit.advantages
            self._log_shares(credit.shares, self.prefix_mask(output).sum())
        boxes = [last_box(response.rollout.completion) for group in self._underway.groups for response in group]
        boxed = sum(bool(box and (box.content or "").strip()) for box in boxes) / len(boxes)
        for name, value in {BOXED: boxed, **self._underway.metrics}.items():
            self._metrics["train" if self.model.training else "eval"][name].append(value)
        self.credit = credit
        self.seconds["scoring"] += time.perf_counter() - started
        return output

    def _set_advantages(self, output: dict[str, Any]) -> None:
        """Replace TRL's advantages by the method's, if it computes any; exclude responses whose advantage is None."""
        advantages = self.method.advantages(self._underway, self._rewards)
        if advantages is None:
            return
        values = self._own_part(advantages)
        output["advantages"] = torch.tensor(
            [0.0 if value is None else value for value in values], device=output["advantages"].device
        )
        kept = torch.tensor([value is not None for value in values], device=output["completion_mask"].device)
        # A response whose mask is all 0 adds nothing to the loss; TRL excludes truncated ones in the same way.
        output["completion_mask"] = output["completion_mask"] * kept.unsqueeze(1)
        output["num_items_in_batch"] = self.accelerator.gather(output["completion_mask"].sum()).sum()

    def _add_answer_losses(self, output: dict[str, Any]) -> None:
        """Add the method's answer losses to `output`, so that TRL splits them into micro-batches with the responses."""
        losses = self.method.answer_losses(self._underway, self._rewards)
        if losses is None:
            return
        if self.loss_type == "dapo":
            raise ValueError(
                "answer losses are means over responses: they cannot be added to a mean over tokens (dapo)"
            )
        own = [loss or AnswerLoss("", " ", 0.0) for loss in self._own_part(losses)]
        encoded, ranges = encode_spans(self._tokenizer, [loss.context for loss in own], [loss.target for loss in own])
        device = output["completion_ids"].device
        ids, mask = left_pad(encoded, self._tokenizer.pad_token_id, device)
        keep = max(len(tokens) - first for tokens, (first, _) in zip(encoded, ranges, strict=True))
        from_end = torch.arange(keep, 0, -1, device=device)
        counts = torch.tensor([stop - first for first, stop in ranges], device=device)
        output["answer_ids"], output["answer_mask"] = ids, mask
        output["answer_targets"] = from_end <= counts.unsqueeze(1)
        output["answer_weights"] = torch.tensor([loss.weight for loss in own], device=device)

    def batch_loss(self, model, inputs: dict[str, Any]) -> Tensor:
        """Return the loss of a micro-batch, TRL's plus the method's. Raises NonFiniteError if it is not finite."""
        loss = super().batch_loss(model, inputs)
        self._add_sampling_gap(inputs)
        if "answer_ids" in inputs:
            loss = loss + self._answer_loss(model, inputs)
        if not loss.isfinite():
            prompts = [
                self._tokenizer.decode(ids[mask.bool()])
                for ids, mask in zip(inputs["prompt_ids"], inputs["prompt_mask"], strict=True)
            ]
            require_finite(loss, "loss", self._step_underway, prompts)
        return loss

    def _add_sampling_gap(self, inputs: dict[str, Any]) -> None:
        """Compare engine and trainer on a micro-batch whose loss was just computed; log the gap after the last one."""
        if "sampling_per_token_logps" in inputs:  # the transformers engine returns none
            self.sampling_gap.add(inputs["sampling_per_token_logps"], inputs["completion_mask"])
            if self.accelerator.sync_gradients:
                for name, value in self.sampling_gap.of_step().items():
                    self._metrics["train"][name].append(value)

    def _answer_loss(self, model, inputs: dict[str, Any]) -> Tensor:
        """Return the weighted negative log-likelihood of the answers, averaged over responses like TRL's loss."""
        targets = inputs["answer_targets"]
        logps = self._get_per_token_logps_and_entropies(
            model, inputs["answer_ids"], inputs["answer_mask"], targets.size(1)
        )[0]
        loss = -(inputs["answer_weights"] * (logps * targets).sum(dim=1)).mean()
        return loss / self.current_gradient_accumulation_steps

    def prefix_mask(self, output: dict[str, Any]) -> Tensor:
        """Return the mask (B, T) of the reasoning tokens of the latest completions."""
        lengths = torch.tensor(self._prefix_lengths, device=output["completion_ids"].device)
        return torch.arange(output["completion_ids"].size(1), device=lengths.device) < lengths.unsqueeze(1)

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval") -> dict[str, float]:
        """Return and log the accuracy (0 to 1) of the validation questions' final answers, graded as for benchmarks."""
        rows = self.eval_dataset.shard(self.accelerator.num_processes, self.accelerator.process_index).to_list()
        # vLLM forms its own batches; transformers takes as many rows at a time as a rollout has.
        size = len(rows) if self.use_vllm else self.args.per_device_train_batch_size * self.args.steps_per_generation
        batches = [rows[start : start + size] for start in range(0, len(rows), max(1, size))]
        with decoding(self, self.settings.validation_decoding == "sampled", self.args.seed):
            correct = sum(self.correct_answers(batch) for batch in batches)
            counts = torch.tensor([correct, len(rows)], device=self.accelerator.device)
            all_correct, all_rows = self.accelerator.reduce(counts, reduction="sum").tolist()
            metrics = {f"{metric_key_prefix}_accuracy": all_correct / all_rows}
            self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def correct_answers(self, rows: list[dict[str, Any]]) -> int:
        """Return how many of `rows` the policy answers correctly before the token limit."""
        prompts = [row["prompt"] for row in rows]
        completion_ids = self.respond(prompts)
        texts = self.processing_class.batch_decode(completion_ids, skip_special_tokens=True)
        return sum(map(is_correct, self._rollouts(prompts, texts, completion_ids, rows)))

    def respond(self, prompts: list[Any]) -> list[list[int]]:
        """Return the tokens of one response per prompt (a list of chat messages), decoded as is set at the moment."""
        prompt_ids, *_ = self._tokenize_prompts(prompts)
        return self._generate_single_turn(prompt_ids, None, {}, 1)[0]

    def _save_checkpoint(self, model, trial):
        super()._save_checkpoint(model, trial)
        if self.is_world_process_zero():
            self.memory.save(checkpoint_of(Path(self.args.output_dir), self.state.global_step))

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        self.memory.load(Path(resume_from_checkpoint))

    def _rollouts(self, prompts, texts: list[str], completion_ids: list[list[int]], rows: list[dict]) -> list[Rollout]:
        """Return the rollouts that rewards receive; `rows` hold the columns of the questions."""
        asked = self.processing_class.apply_chat_template(prompts, tokenize=False, add_generation_prompt=True)
        first = self.accelerator.process_index * len(rows)
        return [
            Rollout(
                prompt=prompt,
                completion=text,
                truncated=ids[-1] not in self.eos_token_ids,
                question=row["question"],
                answer=row["answer"],
                answer_type=row["answer_type"],
                options=row["options"],
                tokens=len(ids),
                group=(first + place) // self.settings.group_size,
            )
            for place, (prompt, text, ids, row) in enumerate(zip(asked, texts, completion_ids, rows, strict=True))
        ]

    def _gathered(self, own: list[ScoredRollout]) -> Step:
        """Return the responses of all processes in groups, the same on every process."""
        everything: list[ScoredRollout] = gather_object(own)
        size = self.settings.group_size
        groups = [everything[start : start + size] for start in range(0, len(everything), size)]
        return Step(self._step_underway, groups, self.memory.state, {})

    def _own_part(self, groups: list[list[Any]]) -> list[Any]:
        """Return this process's values from `groups`, which hold one value per response of all processes."""
        flat = [value for group in groups for value in group]
        count = len(self._local)
        return flat[self.accelerator.process_index * count :][:count]

    @property
    def _step_underway(self) -> int:
        return self.state.global_step + 1

    def _log_shares(self, shares: dict[str, Tensor], tokens: Tensor) -> None:
        """Log shares of reasoning tokens, averaged over processes and weighted by their numbers of these tokens."""
        if not shares:
            return
        weighted = torch.stack([*shares.values()]) * tokens
        totals = self.accelerator.reduce(torch.cat([weighted, tokens.float().unsqueeze(0)]), reduction="sum")
        for name, value in zip(shares, (totals[:-1] / totals[-1].clamp(min=1)).tolist(), strict=True):
            self._metrics["train" if self.model.training else "eval"][name].append(value)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout off inside the `with` block, so that rewards and credit are not random."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@contextmanager
def last_hidden_states(decoder: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the hidden states (B, L, H) that `decoder` hands to the head inside the `with` block."""
    states: list[Tensor] = []
    hook = decoder.register_forward_hook(lambda _module, _inputs, output: states.append(output.last_hidden_state))
    try:
        yield states
    finally:
        hook.remove()


def seed_of(*parts: int) -> int:
    """Return a seed (64 bits) that depends on all `parts`; it is the same on every machine."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8])


class Completions(Responses):
    """The completions that TRL has just scored, in the form that a method's `token_credit` receives."""

    def __init__(self, trainer: MethodTrainer, output: dict[str, Any]) -> None:
        self.tokenizer = trainer.tokenizer
        self.step = trainer._step_underway
        self.rollouts = trainer._local
        first = trainer.accelerator.process_index * len(self.rollouts)
        self.seeds = [seed_of(trainer.args.seed, self.step, first + place) for place in range(len(self.rollouts))]
        self.advantages = output["advantages"]
        self.prefix_mask = trainer.prefix_mask(output)
        self._trainer, self._output = trainer, output

    def logps(self, prompts: list[str] | None = None, policy: Policy = "current") -> Tensor:
        """Return the log-probabilities of the completions' tokens (B, T); see `Responses.logps`."""
        trainer, output = self._trainer, self._output
        anchor = trainer.method.kl_anchor
        if prompts is None and policy == "initial" == anchor and "ref_per_token_logps" in output:
            return output["ref_per_token_logps"]  # TRL has computed these for its KL term
        with trainer._acting(policy):
            logps = trainer._policy_logps(*self._inputs(prompts), output["completion_ids"].size(1))
        texts = prompts or [rollout.prompt for rollout in self.rollouts]
        require_finite(
            torch.where(self.prefix_mask, logps, 0.0),
            "log-probability of a reasoning token",
            trainer._step_underway,
            texts,
        )
        return logps

    @torch.no_grad()
    def entropies(self) -> Tensor:
        """Return the current policy's entropies (B, T); see `Responses.entropies`."""
        trainer = self._trainer
        with evaluating(trainer.model):
            return trainer._get_per_token_logps_and_entropies(
                trainer.model,
                *self._inputs(None),
                self._output["completion_ids"].size(1),
                batch_size=trainer.args.per_device_train_batch_size,
                compute_entropy=True,
            )[1]

    def of_all_processes(self, values: Tensor) -> Tensor:
        """Return the values (N,) of all processes; see `Responses.of_all_processes`."""
        return torch.tensor(gather_object(values.tolist()), dtype=values.dtype, device=values.device)

    def _inputs(self, prompts: list[str] | None) -> tuple[Tensor, Tensor]:
        """Return ids and attention mask (B, L) of prompts and completions."""
        output = self._output
        if prompts is None:
            prompt_ids, prompt_mask, mask = output["prompt_ids"], output["prompt_mask"], output["completion_mask"]
        else:
            encoded = self.tokenizer(prompts, add_special_tokens=False)["input_ids"]
            prompt_ids, prompt_mask = left_pad(encoded, self.tokenizer.pad_token_id, self.prefix_mask.device)
            mask = self.prefix_mask.long()
        return torch.cat([prompt_ids, output["completion_ids"]], dim=1), torch.cat([prompt_mask, mask], dim=1)
