"""Groups of responses to training questions, scored as in a training step, with the numbers of every token.

The walkthrough and the credit viewer show them.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from generalthinker.answers.boxed import last_box
from generalthinker.config.settings import Settings
from generalthinker.errors import StageError
from generalthinker.files import read_json, write_parquet
from generalthinker.identity import identity_of_run
from generalthinker.paths import Layout
from generalthinker.prompts import answer_conditioned_prompt
from generalthinker.records import RunSpec
from generalthinker.rewards import is_correct
from generalthinker.training.checkpoints import good_checkpoints, step_of
from generalthinker.training.run import ADAPTER, OTHER_STEPS, build_trainer, grpo_arguments, load_adapter
from generalthinker.training.start import checkpoints_of
from generalthinker.training.trainer import Completions


class NothingSampledError(StageError, ValueError):
    """The run has no adapter, or no training question has the text that was asked for."""


def write_groups(settings: Settings, run: RunSpec, out: Path, count: int, containing: str = "") -> None:
    """Write `sample_groups` of all adapters of `run` to `out` (Parquet), with the step of its result as metadata."""
    adapters, result = adapters_of(settings, run)
    frame = sample_groups(settings, run, adapters, result, count, containing)
    write_parquet(out, frame, {"run": run.name, "result_step": result})


def adapters_of(settings: Settings, run: RunSpec) -> tuple[dict[int, Path], int]:
    """Return the folders of a run's adapters by optimizer step, and the step of its result.

    Of a run that is not finished, these are its whole checkpoints, and the newest stands for the result. Raises
    NothingSampledError if there is none.
    """
    if run.seed is None:
        raise NothingSampledError(f"{run.name}: {run.method} is not trained; choose the run of a trained method")
    layout = Layout(settings.results)
    adapter = Path(layout.adapter(run.name))
    if (adapter / ADAPTER).exists():
        result = int(read_json(layout.run_record(run.name))["kept_step"])
        others = {int(folder.name): folder for folder in (adapter / OTHER_STEPS).glob("*")}
        return dict(sorted((others | {result: adapter}).items())), result
    checkpoints = checkpoints_of(layout, run) / identity_of_run(settings, run).hash
    found = {step_of(folder): folder for folder in good_checkpoints(checkpoints)}
    if not found:
        raise NothingSampledError(
            f"{run.name}: expected an adapter in {adapter} or a checkpoint in {checkpoints}, found neither; "
            f"train the run first: generalthinker train {run.name}"
        )
    return found, max(found)


def sample_groups(
    settings: Settings, run: RunSpec, adapters: dict[int, Path], result: int, count: int, containing: str = ""
) -> pd.DataFrame:
    """Return the responses of the policy at step `result` to training questions, scored by each of `adapters`.

    The questions are the first `count` of those whose text contains `containing`, in any case; each is asked as often
    as a training step asks it. Every adapter gives the same responses its own rewards, advantages and credit. A line is
    a response at a step:

    - `step`, `group`, `response`; `question`, `answer` (the reference); `ids` and `tokens` (their texts), `prefix` (how
      many of them are the reasoning), `truncated`, `boxed` (None: no closed box), `correct` (the grader's verdict);
    - `reward`, `response_advantage`, `left_out` (of the loss);
    - per token `advantage`, log-probabilities (nats) under the policy (`logp`), under the initial one
      (`logp_reference`) and under the policy that is told the answer (`logp_given_answer`), `entropy` (nats), and the
      method's own quantities. Those of the last two kinds that are defined on the reasoning alone are NaN elsewhere.

    A slow policy is that of a training's first step. Raises NothingSampledError if no question matches.
    """
    with TemporaryDirectory() as unused:
        trainer = build_trainer(settings, run, grpo_arguments(settings, run, 1, unused))
    load_adapter(trainer.model, adapters[result])
    trainer.model.train()
    matching = (row for row in trainer.train_dataset if containing.casefold() in row["question"].casefold())
    rows = [*itertools.islice(matching, count)]
    if not rows:
        raise NothingSampledError(f"{run.name}: none of the training questions contains {containing!r}")
    sampled = [trainer.respond([row["prompt"]] * settings.training_of(run).group_size) for row in rows]
    texts = [[token_texts(trainer.tokenizer, ids) for ids in group] for group in sampled]
    lines = []
    for step, folder in adapters.items():
        load_adapter(trainer.model, folder)
        for group, row in enumerate(rows):
            for place, scores in enumerate(scored(trainer, [row] * len(texts[group]), sampled[group])):
                named = {"step": step, "group": group, "response": place}
                written = {"ids": sampled[group][place], "tokens": texts[group][place]}
                lines.append(named | written | scores)
    return pd.DataFrame(lines)


def token_texts(tokenizer, ids: list[int]) -> list[str]:
    """Return the text of every token; joined, they are the text of all tokens.

    A character that is spread over several tokens belongs to the first of them, and the others have the empty text.
    """
    # An incomplete character at the end decodes to one character.
    ends = [len(tokenizer.decode(ids[:count])) for count in range(len(ids) + 1)]
    text = tokenizer.decode(ids)
    return [text[start:end] for start, end in itertools.pairwise(ends)]


def scored(trainer: Any, rows: list[dict[str, Any]], ids: list[list[int]]) -> Iterator[dict[str, Any]]:
    """Yield what the policy at the moment makes of responses, as in a training step.

    `rows` has the question of each response, and `ids` its tokens. The responses are whole groups, one after the other:
    rewards and advantages of a group mean something only if its rows are the same. Rows with an `other_answer` also
    get the log-probabilities under the policy that is told this answer (`logp_given_other`).
    """
    trainer._generate_single_turn = lambda *_: (ids, None)
    output = trainer._generate_and_score_completions(rows)
    prefix, numbers = trainer.prefix_mask(output), _token_numbers(trainer, output, rows, ids)
    rewards = [*itertools.chain.from_iterable(trainer._rewards)]
    for i, (row, tokens, rollout) in enumerate(zip(rows, ids, trainer._local, strict=True)):
        box, reasoning = last_box(rollout.completion), int(prefix[i].sum())
        yield {
            "question": row["question"],
            "answer": row["answer"],
            "prefix": reasoning,
            "truncated": rollout.truncated,
            "boxed": box.content if box else None,
            "correct": is_correct(rollout),
            "reward": float(rewards[i]),
            "response_advantage": float(numbers["advantage"][i, reasoning]),  # that of tokens after the reasoning
            "left_out": not output["completion_mask"][i].any().item(),
            **{name: values[i, : len(tokens)].float().cpu().numpy() for name, values in numbers.items()},
        }


def _token_numbers(
    trainer: Any, output: dict[str, Any], rows: list[dict[str, Any]], ids: list[list[int]]
) -> dict[str, Tensor]:
    """Return the numbers (B, T) of all tokens, also of responses that are left out of the loss."""
    prefix = trainer.prefix_mask(output)
    lengths = torch.tensor([len(tokens) for tokens in ids], device=prefix.device).unsqueeze(1)
    written = (torch.arange(prefix.size(1), device=prefix.device) < lengths).long()
    # Without TRL's log-probabilities under the reference policy, which leave out what its mask leaves out.
    everything = {name: value for name, value in output.items() if name != "ref_per_token_logps"}
    responses = Completions(trainer, everything | {"completion_mask": written})
    told = {"logp_given_answer": "answer"} | ({"logp_given_other": "other_answer"} if "other_answer" in rows[0] else {})
    on_reasoning = {
        name: responses.logps([answer_conditioned_prompt(trainer.tokenizer, row["question"], row[key]) for row in rows])
        for name, key in told.items()
    }
    on_reasoning |= trainer.credit.quantities if trainer.credit else {}
    advantages = output["advantages"]
    return {
        "advantage": advantages if advantages.dim() == 2 else advantages.unsqueeze(1).expand(prefix.shape),
        "logp": responses.logps(),
        "logp_reference": responses.logps(policy="initial"),
        "entropy": responses.entropies(),
        **{name: torch.where(prefix, values, torch.nan) for name, values in on_reasoning.items()},
    }
