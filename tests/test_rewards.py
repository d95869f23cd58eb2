r"""Rewards: lists in, lists out; which text is scored, and when the floor is given (equation 6)."""

import pytest

from generalthinker.methods import FAMILIES, general_reasoner
from generalthinker.methods.method import ScoredRollout, Step
from generalthinker.rewards import Rollout, binary, likelihood

FLOOR = -30.0


def rollout(completion, answer="7", truncated=False, answer_type="math", options=None):
    return Rollout("<user>2+5?\n", completion, truncated, "2+5?", answer, answer_type, options, tokens=9, group=0)


class Words:
    """A tokenizer whose tokens are words."""

    eos_token = "<end>"

    def __call__(self, text, add_special_tokens=True):
        return {"input_ids": text.split()}

    @staticmethod
    def encode(text):
        return text.split()


class Recorder:
    """A scorer that gives every character of a span −1 and remembers what it was asked."""

    def __init__(self):
        self.pairs, self.tokenizer = [], Words()

    def span_logps(self, contexts, spans, *, after=None, any_ending=False, policy="current"):
        self.pairs += zip(contexts, spans, strict=True)
        return [[-1.0] * len(span) for span in spans]

    def ask(self, role, prompts, *, max_new_tokens, seconds):
        return ["Final Decision: Yes" if "Student Answer: 7" in prompt else None for prompt in prompts]

    def model_folder(self, role):
        return role


def score(*rollouts):
    recorder = Recorder()
    return likelihood.reward(list(rollouts), recorder, floor=FLOOR), recorder.pairs


@pytest.mark.parametrize(
    ("completion", "answer", "prefix"),
    [
        (r"2+5=7. \boxed{8}", "7", "2+5=7. "),
        (r"half \boxed{\frac{1}{2}} end", r"\frac{1}{2}", "half "),
        (r"first \boxed{1}, no: \boxed{2}.", "7", r"first \boxed{1}, no: "),
        ("π ≈ 3, daß 😀 \\boxed{é}", "naïve ü", "π ≈ 3, daß 😀 "),
        (r"cost \boxed{$5$}", r"$\$5$", "cost "),
        (r"a set \boxed{\{1, 2\}}", r"\{1\}", "a set "),
        ("line\n\n\\boxed{x}\n", "C. three", "line\n\n"),
    ],
)
def test_the_true_answer_is_scored_after_prompt_and_prefix(completion, answer, prefix):
    values, pairs = score(rollout(completion, answer))
    assert pairs == [("<user>2+5?\n" + prefix + "\\boxed{", answer + "}")]
    assert values == [-float(len(answer) + 1)]


@pytest.mark.parametrize(
    "unusable",
    [
        rollout(r"2+5=7. \boxed{7}", truncated=True),
        rollout("2+5=7."),
        rollout(""),
        rollout(r"2+5=7. \boxed{}"),
        rollout("2+5=7. \\boxed{ \n}"),
        rollout(r"2+5=7. \boxed{7"),
        rollout(r"2+5=7. \boxed{\frac{7}{1}"),
        rollout(r"done \boxed{7}, again \boxed{7"),
        rollout(r"\boxed{7}"),
        rollout("\n \\boxed{7}"),
    ],
    ids=[
        *("truncated", "no box", "nothing", "empty box", "blank box", "open box", "a brace short", "last box open"),
        *("empty prefix", "blank prefix"),
    ],
)
def test_an_unusable_response_gets_the_floor_and_is_not_scored(unusable):
    values, pairs = score(unusable)
    assert (values, pairs) == ([FLOOR], [])


def test_rewards_keep_the_order_of_their_rollouts():
    values, pairs = score(
        rollout("none"), rollout(r"a \boxed{1}", "12"), rollout("none"), rollout(r"b \boxed{1}", "123")
    )
    assert values == [FLOOR, -3.0, FLOOR, -4.0]
    assert len(pairs) == 2
    assert score() == ([], [])


def test_binary_reward_is_one_for_a_correct_box_and_zero_for_anything_else():
    options = ["one", "seven"]
    cases = [
        (rollout(r"so \boxed{7}"), 1.0),
        (rollout(r"so \boxed{7.0}"), 1.0),
        (rollout(r"\boxed{7}"), 1.0),
        (rollout(r"so \boxed{8}"), 0.0),
        (rollout(r"\boxed{7} or \boxed{8}"), 0.0),
        (rollout(r"so \boxed{7}", truncated=True), 0.0),
        (rollout("so 7"), 0.0),
        (rollout(r"so \boxed{7"), 0.0),
        (rollout(r"so \boxed{B}", "B. seven", answer_type="mcq", options=options), 1.0),
        (rollout(r"so \boxed{A}", "B. seven", answer_type="mcq", options=options), 0.0),
    ]
    assert binary.reward([case for case, _ in cases]) == [wanted for _, wanted in cases]


def test_every_trained_family_scores_lists_of_rollouts_in_order(monkeypatch):
    monkeypatch.setattr(general_reasoner, "_tokenizer", lambda folder: Words)
    for name, family in FAMILIES.items():
        if family.reward is not None:
            method, rollouts = family(family=name), [rollout(r"so \boxed{7}"), rollout("no", truncated=True)]
            scores = method.score(rollouts, Recorder())
            groups = [[ScoredRollout(*pair) for pair in zip(rollouts, scores, strict=True)]]
            [values] = method.rewards(Step(1, groups, {}, {}))
            assert [type(value) for value in values] == [float, float], name
            assert values[0] > values[1], name
