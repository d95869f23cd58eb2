r"""General-Reasoner: the answer that is judged, the verifier's prompt and decision, the reward, and what is counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generalthinker.methods import general_reasoner
from generalthinker.methods.general_reasoner import (
    GeneralReasoner,
    decision,
    reward_of,
    student_answer,
)
from generalthinker.methods.method import ScoredRollout, Step
from generalthinker.prompts import verifier_prompt
from generalthinker.rewards import Rollout, binary

PROMPT = "user\nWhat is 2+5?\nPlease reason step by step, and put your final answer within \\boxed{}.\nassistant\n"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{7}", "7"),
        (r"\boxed{1} or rather \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{\sqrt{\frac{1}{\sqrt{2}}}}", r"\sqrt{\frac{1}{\sqrt{2}}}"),
        (r"closed \boxed{1}, cut off \boxed{2", "1"),
        ("The answer is: seven\nThanks.", "seven"),
        ("the ANSWER IS:\n  7 apples \nbye", "7 apples"),
        ("Final Answer: 1\nFinal Answer is: 2\nSolution: 3\n", "3"),
        ("Answer: Solution: 5\n", "5"),
        (r"Answer: 4\n", None),
        ("Answer: 4", None),
        ("Answer:\n", ""),
        ("\\boxed{}\nAnswer: 4\n", "4"),
        (r"\boxed{}", None),
        ("I do not know", None),
    ],
)
def test_the_answer_is_the_last_box_or_else_the_last_stated_one(text, answer):
    assert student_answer(text) == answer
    assert student_answer(PROMPT + text) == answer, "the prompt's own empty box is passed over"


def test_the_verifiers_prompt_is_the_released_one():
    assert verifier_prompt("What is 2+5?", "7", None) == (
        "User: ### Question: What is 2+5?\n\n### Ground Truth Answer: 7\n\n### Student Answer: None\n\n"
        "For the above question, please verify if the student's answer is equivalent to the ground truth answer.\n"
        "Do not solve the question by yourself; just check if the student's answer is equivalent to the ground truth "
        "answer.\nIf the student's answer is correct, output \"Final Decision: Yes\". If the student's answer is "
        'incorrect, output "Final Decision: No". Assistant:'
    )


@pytest.mark.parametrize(
    ("output", "made"),
    [
        ("They are equal.\nFinal Decision: Yes", "yes"),
        ("Final Decision: No, or Final Decision: Yes", "yes"),
        ("Final Decision: No", "no"),
        ("final decision: yes", "undecided"),
        ("Yes", "undecided"),
        ("", "undecided"),
        (None, "late"),
    ],
)
def test_the_decision_is_read_as_released(output, made):
    assert decision(output) == made


def test_the_worked_example():
    rewards = [reward_of("7", "yes", 1, 1), reward_of("7 is it", "yes", 4, 1), reward_of("8", "no", 1, 1)]
    rewards.append(reward_of(None, "no", 2, 1))
    assert rewards == pytest.approx([1, 0.85, 0, -0.5])
    own = GeneralReasoner(family="general_reasoner", form="own")
    [advantages] = own.advantages(Step(1, [], {}, {}), [rewards])
    assert advantages == pytest.approx([0.9317, 0.7207, -0.4746, -1.1778], abs=5.01e-5)


@given(st.sampled_from(["7", "", None]), st.sampled_from(["yes", "no", "undecided", "late"]), st.integers(0, 99))
def test_rewards_lie_between_minus_a_half_and_one_and_fall_with_the_difference_of_lengths(student, made, tokens):
    reward = reward_of(student, made, tokens, 9)
    assert -0.5 <= reward <= 1
    assert reward == reward_of(student, made, 18 - tokens, 9) or tokens > 18
    assert (reward > 0) <= (made == "yes")
    assert reward >= reward_of(student, made, tokens + 1, 9) or tokens < 9
    assert (reward == -0.5) == (student is None and made != "yes")


class Judge:
    """A scorer whose verifier says Yes where reference and answer are equal, and otherwise what it is told to."""

    def __init__(self, otherwise=" Final Decision: No"):
        self.otherwise, self.asked, self.tokenizer = otherwise, [], self

    def __call__(self, text, add_special_tokens=True):
        return {"input_ids": text.split(" ")}

    def decode(self, words):
        return " ".join(words)

    encode = str.split

    def model_folder(self, role):
        return role

    def ask(self, role, prompts, *, max_new_tokens, seconds):
        self.asked += prompts
        parts = [prompt.split("Answer: ") for prompt in prompts]
        equal = [one.partition("\n")[0] == other.partition("\n")[0] for _, one, other in parts]
        return [" Final Decision: Yes" if same else self.otherwise for same in equal]


@pytest.fixture(autouse=True)
def words(monkeypatch):
    """The verifier's tokens are words."""
    monkeypatch.setattr(general_reasoner, "_tokenizer", lambda folder: Judge)


def rollout(completion, answer="7", truncated=False):
    return Rollout(PROMPT, completion, truncated, "What is 2+5?", answer, "math", None, tokens=9, group=0)


METHOD = GeneralReasoner(family="general_reasoner")


def judged(rollouts, judge=None):
    scores = METHOD.score(rollouts, judge or Judge())
    step = Step(1, [[ScoredRollout(*pair) for pair in zip(rollouts, scores, strict=True)]], {}, {})
    return METHOD.rewards(step)[0], step.metrics


def test_verdicts_are_compared_with_the_grader_and_failures_are_counted():
    rollouts = [rollout(rf"so \boxed{{{x}}}") for x in ("7", "7.0", "8")] + [rollout("so"), rollout("the end")]
    rewards, metrics = judged(rollouts)
    assert rewards == [1, 0, 0, -0.5, -0.5]
    assert metrics == {
        "verifier/accepted": 0.2,
        "verifier/false_accept": 0.0,
        "verifier/false_reject": 0.2,  # 7.0 is right
        "verifier/undecided": 0.0,
        "verifier/late": 0.0,
    }
    _, nonsense = judged(rollouts, Judge("as I said"))
    _, hanging = judged(rollouts, Judge(None))
    assert nonsense["verifier/undecided"] == hanging["verifier/late"] == 0.8
    rewards, gullible = judged(rollouts, Judge("Final Decision: Yes"))
    assert rewards == pytest.approx([1, 1, 1, 0.45, 0.45]), "a Yes adds to the -0.5 of `No Answer`, which has two words"
    assert gullible["verifier/false_accept"] == pytest.approx(0.6)


def test_a_truncated_response_is_judged_like_any_other_but_graded_wrong():
    rewards, metrics = judged([rollout(r"so \boxed{7} and", truncated=True)])
    assert rewards == [1]
    assert metrics["verifier/false_accept"] == 1


def test_equal_answers_to_a_question_are_judged_once():
    judge = Judge()
    judged([rollout(r"so \boxed{7}"), rollout(r"thus \boxed{7}"), rollout("?"), rollout("!")], judge)
    assert len(judge.asked) == 2


def test_only_the_end_of_prompt_and_response_is_read():
    long = " word" * 1023
    assert judged([rollout(rf"\boxed{{7}}{long}")])[0] == [1]
    assert judged([rollout(rf"\boxed{{7}}{long} word")])[0] == [-0.5]


def test_a_verifier_that_agrees_with_the_grader_gives_the_same_as_binary_rl_for_answers_of_the_right_length():
    rollouts = [rollout(rf"so \boxed{{{x}}}") for x in ("7", "8", "9", "7")]
    rewards, _ = judged(rollouts)
    assert rewards == binary.reward(rollouts)
