r"""General-Reasoner (arXiv 2505.14652): rewarded by the verdict of a second language model, the verifier.

The verifier reads the question, the reference and the response's answer, and writes its decision. Reward: 1 for a Yes,
less 0.05 for each token (of the verifier) by which the answer's length differs from the reference's, at most 0.5; 0 for
anything else. A response in which no answer is found loses 0.5.

From the released code. The answer is the last closed box in the last 1,024 tokens of prompt and response; where that is
empty, as the prompt's own `\boxed{}` is, the text after the last phrase such as "The answer is:", up to the end of the
line. A truncated response is judged like any other. Choices made here: braces in a box may nest deeper than two levels;
the verifier has a time limit per step, and where it exceeds it, or writes no decision, the response counts as not
accepted and the history shows it. Own form: KL 1e-4, clipping at 0.3, entropy bonus, truncated responses in the loss;
tokens of all responses weigh alike, which is a guess.
"""

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from generalthinker.answers.boxed import last_box
from generalthinker.methods.method import Step
from generalthinker.methods.rival import VERL_EPSILON, Rival, z_scores
from generalthinker.metrics import Metric
from generalthinker.prompts import verifier_prompt
from generalthinker.rewards import Rollout, Scorer, is_correct
from generalthinker.sections import Count

ROLE = "verifier"
READ_TOKENS = 1024  # of the end of prompt and response
LENGTH_PENALTY, MOST_TOKENS = 0.05, 10
NO_ANSWER = -0.5
PHRASES = ("Final Answer:", "Final Answer is:", "The answer is:", "Answer:", "Solution:", "The solution is:")
# The look-ahead finds a phrase inside the text after another one too.
_STATED = re.compile(rf"(?=(?:{'|'.join(PHRASES)})\s*([^\n]*)\n)", re.IGNORECASE)
Decision = Literal["yes", "no", "undecided", "late"]


class Verdict(NamedTuple):
    """What the verifier decided on a response, what that is worth, and whether the grader finds it correct."""

    reward: float
    decision: Decision
    correct: bool


class GeneralReasoner(Rival):
    """The verdict of a verifier model, with a penalty for answers of another length than the reference's."""

    family: Literal["general_reasoner"]
    reward: ClassVar[str | None] = "verifier model"
    METRICS: ClassVar[tuple[Metric, ...]] = (
        Metric("verifier/accepted", "verifier/accepted", "Accepted by the verifier", "share of responses"),
        Metric("verifier/false_accept", "verifier/false_accept", "Accepted, but graded wrong", "share of responses"),
        Metric("verifier/false_reject", "verifier/false_reject", "Rejected, but graded right", "share of responses"),
        Metric("verifier/undecided", "verifier/undecided", "Without a decision", "share of responses"),
        Metric("verifier/late", "verifier/late", "Verifier exceeded its time limit", "share of responses"),
    )
    OWN_TRAINING: ClassVar[dict[str, Any]] = {
        "kl_coef": 1e-4,
        "clip_range": 0.3,
        "temperature": 1.0,
        "mask_truncated": False,
        "loss_type": "dapo",
        "entropy_coef": 0.001,
    }

    verifier: Annotated[str, Field(description="the entry of `models` that judges")] = "general-verifier"
    verifier_tokens: Annotated[Count, Field(description="most tokens of a verdict")] = 2048
    verifier_seconds: Annotated[
        float, Field(gt=0, description="time limit for the verdicts of one step on one device, in seconds")
    ] = 600.0

    @property
    def models(self) -> dict[str, str]:
        """The verifier."""
        return {ROLE: self.verifier}

    @property
    def needs(self) -> dict[str, str]:
        """The verifier."""
        return super().needs | {"verifier": "model"}

    def score(self, rollouts: list[Rollout], scorer: Scorer) -> list[Verdict]:
        """Return the verifier's verdicts; equal prompts are judged once."""
        students = [student_answer(_end_of(scorer.tokenizer, rollout)) for rollout in rollouts]
        prompts = [
            verifier_prompt(rollout.question, rollout.answer, student)
            for rollout, student in zip(rollouts, students, strict=True)
        ]
        asked = [*dict.fromkeys(prompts)]
        written = scorer.ask(ROLE, asked, max_new_tokens=self.verifier_tokens, seconds=self.verifier_seconds)
        outputs = dict(zip(asked, written, strict=True))
        tokenizer = _tokenizer(scorer.model_folder(ROLE))
        verdicts = []
        for rollout, student, prompt in zip(rollouts, students, prompts, strict=True):
            made = decision(outputs[prompt])
            lengths = (len(tokenizer.encode(text)) for text in (student or "No Answer", rollout.answer))
            verdicts.append(Verdict(reward_of(student, made, *lengths), made, is_correct(rollout)))
        return verdicts

    def rewards(self, step: Step) -> list[list[float]]:
        """Return the rewards, and log how the verifier decided."""
        verdicts: list[Verdict] = [one.score for group in step.groups for one in group]
        accepted = [verdict.decision == "yes" for verdict in verdicts]
        shares = {
            "accepted": accepted,
            "false_accept": [yes and not one.correct for yes, one in zip(accepted, verdicts, strict=True)],
            "false_reject": [one.correct and not yes for yes, one in zip(accepted, verdicts, strict=True)],
            "undecided": [one.decision == "undecided" for one in verdicts],
            "late": [one.decision == "late" for one in verdicts],
        }
        step.metrics.update({f"verifier/{name}": sum(found) / len(verdicts) for name, found in shares.items()})
        return [[one.score.reward for one in group] for group in step.groups]

    def advantages(self, step: Step, rewards: list[list[float]]) -> list[list[float | None]] | None:
        """Return z-scores with the epsilon of the authors' trainer in the own form; else None, for TRL's."""
        return [[*z_scores(group, VERL_EPSILON)] for group in rewards] if self.own else None


def student_answer(text: str) -> str | None:
    """Return the answer in the end of a response, with its prompt; None if there is none."""
    box = last_box(text)
    while box is not None and box.content is None:  # an open box hides no closed one before it
        box = last_box(text[: box.start])
    if box is not None and box.content:
        return box.content
    stated = [match[1].strip() for match in _STATED.finditer(text)]
    return stated[-1] if stated else None


def decision(output: str | None) -> Decision:
    """Return what the verifier's output says; None stands for an output that was not finished in time."""
    if output is None:
        return "late"
    if "Final Decision: Yes" in output:
        return "yes"
    return "no" if "Final Decision: No" in output else "undecided"


def reward_of(student: str | None, made: Decision, tokens: int, reference_tokens: int) -> float:
    """Return the reward of an answer of `tokens` tokens, where the reference has `reference_tokens`."""
    value = NO_ANSWER if student is None else 0.0
    if made == "yes":
        value += 1 - LENGTH_PENALTY * min(MOST_TOKENS, abs(tokens - reference_tokens))
    return value


def _end_of(tokenizer: Any, rollout: Rollout) -> str:
    """Return the last tokens of prompt and response as text."""
    text = rollout.prompt + rollout.completion
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return text if len(ids) <= READ_TOKENS else tokenizer.decode(ids[-READ_TOKENS:])


@cache
def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)
