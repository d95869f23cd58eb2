"""The training's metrics: one row per optimizer step, written at once; a resume leaves no gaps and no duplicates."""

import json
import logging
import os
from collections import deque
from pathlib import Path
from typing import Any

import pandas as pd
from transformers import TrainerCallback

from generalthinker.files import write_text
from generalthinker.metrics import COMMON, SIGNAL_STEPS_LATEST, Metric, more_than_noise, nothing_to_learn

logger = logging.getLogger(__name__)


class History(TrainerCallback):
    """Append each step's metrics to `metrics.jsonl` and its wall-clock seconds to `timing.jsonl` in `folder`.

    They are two files, because metrics are reproducible byte for byte and times are not. `own` are the columns that
    only this training's method adds.
    """

    def __init__(self, folder: Path, seconds: dict[str, float], own: tuple[Metric, ...] = ()) -> None:
        self.columns = (*COMMON, *own)
        self.metrics, self.timing = folder / "metrics.jsonl", folder / "timing.jsonl"
        self.seconds = seconds
        self._tokens = 0.0
        self._first: dict[str, Any] | None = None
        self._warned = False
        self._latest: deque[dict[str, Any]] = deque(maxlen=SIGNAL_STEPS_LATEST)
        self._obstacles = 0

    def trim(self, step: int) -> None:
        """Drop rows after `step`, the step that training resumes from."""
        for path in (self.metrics, self.timing):
            if path.exists():
                kept = [line for line in path.read_text().splitlines() if _step(line) in range(1, step + 1)]
                write_text(path, "".join(f"{line}\n" for line in kept))
        self._latest.extend(self.rows(self.metrics)[-SIGNAL_STEPS_LATEST:])
        self._tokens = float((self.rows(self.metrics) or [{}])[-1].get("tokens") or 0.0)

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Write the row of the step that was just logged."""
        if state.is_world_process_zero and logs and "eval_accuracy" in logs:
            logger.info("step %d: validation accuracy %.2f %%", state.global_step, 100 * logs["eval_accuracy"])
        if not state.is_world_process_zero or not logs or "loss" not in logs:
            return
        step = {"step": state.global_step}
        logger.info(
            "step %d of %d: reward %.3f, KL %.4f, entropy %.3f, %.0f tokens per response, %.1f s",
            state.global_step,
            state.max_steps,
            *(logs.get(name) or 0.0 for name in ("reward", "kl", "entropy", "completions/mean_length", "step_time")),
        )
        row = step | {metric.column: logs.get(metric.logged) for metric in self.columns}
        append_row(self.metrics, row)
        self._check_sampling(row)
        self._check_signal(row)
        total = logs.get("step_time") or 0.0
        rollout, scoring = self.seconds["rollout"], self.seconds["scoring"]
        tokens = (logs.get("num_tokens") or 0.0) - self._tokens
        self._tokens += tokens
        append_row(
            self.timing,
            step
            | {
                "seconds": total,
                "rollout_seconds": rollout,
                "scoring_seconds": scoring,
                "update_seconds": total - rollout - scoring,
                "tokens_per_second": tokens / total if total else None,
            },
        )
        self.seconds.update(rollout=0.0, scoring=0.0)

    def _check_sampling(self, row: dict[str, Any]) -> None:
        """Warn when the rollout engine's policy begins to differ from the trainer's by more than rounding."""
        kl = row.get("sampling/kl")
        if kl is None:
            return
        self._first = self._first or self.rows(self.metrics)[0]
        first = self._first.get("sampling/kl")
        warn = more_than_noise(kl, first)
        if warn and not self._warned:
            logger.warning(
                "step %d: the rollout engine does not sample from the policy that is trained: KL %.2g nats per token, "
                "%.2g in the first step, largest difference of a log-probability %.2g. Rounding alone makes less; see "
                "docs/method.md, Colocated vLLM",
                row["step"],
                kl,
                float("nan") if first is None else first,
                row["sampling/logp_difference_max"],
            )
        self._warned = warn

    def _check_signal(self, row: dict[str, Any]) -> None:
        """Warn when the responses of the latest steps begin to give nothing to learn from."""
        self._latest.append(row)
        obstacles = nothing_to_learn(self._latest)
        if len(obstacles) > self._obstacles:
            logger.warning("step %d: nothing to learn from in the latest steps: %s", row["step"], "; ".join(obstacles))
        self._obstacles = len(obstacles)

    @staticmethod
    def rows(path: Path) -> list[dict[str, Any]]:
        """Return the rows written so far; an incomplete last line is ignored."""
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text().splitlines() if _step(line) is not None]

    def frames(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return metrics and timing as tables."""
        return pd.DataFrame(self.rows(self.metrics)), pd.DataFrame(self.rows(self.timing))


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Append `row` to `path` as one JSON line and flush it to the disk, so that a crash does not lose it."""
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _step(line: str) -> int | None:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return None
