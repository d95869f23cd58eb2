r"""The rivals' formulas: worked examples, digit for digit; what must always hold; responses that are not as asked for.

In the worked examples a group has four responses and the answer four tokens. docs/rivals.md claims which methods are
the same after group normalisation; the tests named `…_the_same_…` are these claims.
"""

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from generalthinker.methods import FAMILIES
from generalthinker.methods.dro import r3
from generalthinker.methods.jepo import clip, contributions, log_mean_exp, scaled
from generalthinker.methods.method import ScoredRollout, Step
from generalthinker.methods.nover import group_rewards, perplexity
from generalthinker.methods.rival import leave_one_out, z_scores
from generalthinker.methods.rlpr import repeats, usual_spread
from generalthinker.rewards import Rollout

LN2 = math.log(2)
P = [(1, 1, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5), (0.25, 0.5, 0.25, 0.5), (1, 1, 1, 0.5)]
WITHOUT = (0.5, 0.25, 0.5, 0.25)
WORDS = (10, 100, 1, 1000)
DRIFT = (1.0, 0.0, 2.0, -1.0)
PROMPT = "<user>why?\n"
RIVALS = ["rlpr", "verifree", "nover", "latro", "dro", "jepo"]
FORMS = ("matched", "own")
positive = st.floats(1e-3, 1.0)
group_of = st.lists(positive, min_size=2, max_size=8)


class Example:
    """The scorer of the worked example: response i is the one whose reasoning consists of the word `y<i>`."""

    class tokenizer:  # noqa: N801
        eos_token = "<end>"

        def __new__(cls, text, add_special_tokens=True):
            return {"input_ids": text.split()}

    def span_logps(self, contexts, spans, *, after=None, any_ending=False, policy="current"):
        return [self.of(context, span, policy) for context, span in zip(contexts, spans, strict=True)]

    @staticmethod
    def of(context, span, policy):
        place = next((i for i in range(4) if f"y{i}" in context + span), None)
        if context == PROMPT and place is not None:
            return [DRIFT[place] if policy == "current" else 0.0]
        return [math.log(p) for p in (WITHOUT if place is None else P[place])]


def rollout(completion, truncated=False, answer="a b c d", tokens=9):
    return Rollout(PROMPT, completion, truncated, "why?", answer, "math", None, tokens=tokens, group=0)


EXAMPLE = [
    rollout(" ".join([f"y{i}", *map(str, range(1, words))]) + r" \boxed{x}", tokens=10 * (i + 1))
    for i, words in enumerate(WORDS)
]


def method(family, **settings):
    return FAMILIES[family](family=family, **settings)


def play(chosen, rollouts, scorer=None, number=1, state=None):
    """Return rewards, advantages and answer losses of one group."""
    scores = chosen.score(rollouts, scorer or Example())
    group = [ScoredRollout(*pair) for pair in zip(rollouts, scores, strict=True)]
    step = Step(number, [group], {} if state is None else state, {})
    rewards = chosen.rewards(step)
    advantages, losses = chosen.advantages(step, rewards), chosen.answer_losses(step, rewards)
    return rewards[0], advantages and advantages[0], losses and losses[0]


def digits(*values):
    return pytest.approx(values, abs=5.01e-5)


def close(values):
    return pytest.approx([*values], rel=1e-6, abs=1e-9)


# The worked examples.


def test_likelihood_rl():
    rewards, _, _ = play(method("likelihood_rl"), EXAMPLE)
    assert rewards == close([-LN2 * n for n in (2, 4, 6, 1)])
    assert z_scores(rewards) == digits(0.5637, -0.3382, -1.2401, 1.0147)


@pytest.mark.parametrize("form", FORMS)
def test_rlpr(form):
    rewards, advantages, _ = play(method("rlpr", form=form), EXAMPLE)
    assert rewards == digits(0.4375, 0.2125, 0.1, 0.55)
    assert advantages == pytest.approx([0.5477, -0.5477, -1.0954, 1.0954], abs=5.01e-5 if form == "own" else 6e-4)


def test_rlprs_filter():
    state = {}
    for step, spread in enumerate([7.0] * 5 + [0.2, 0.2, 0.1, 0.1, 0.15], start=1):
        assert usual_spread(step, spread, state) == 0.0
    assert usual_spread(11, 0.25, state) == pytest.approx(0.15)
    assert 0.5 * usual_spread(11, 0.25, dict(state, usual=0.15, before=0.15)) == pytest.approx(0.075)
    assert usual_spread(12, 9.0, state) == pytest.approx(0.151)


def test_rlpr_leaves_out_groups_that_differ_less_than_usual():
    chosen, state = method("rlpr", filter_strength=0.5), {"recorded": [0.2, 0.2, 0.1, 0.1, 0.15]}
    groups = [[0.0, spread * math.sqrt(2)] for spread in (0.0749, 0.0751)]  # of two, the deviation is the gap / √2
    step = Step(11, groups, state, {})
    out, kept = chosen.advantages(step, groups)
    assert out == [None, None]
    assert None not in kept
    assert step.metrics == {"rlpr/left_out": 0.5}
    assert all(None not in group for group in method("rlpr", filter_strength=None).advantages(step, groups))


def test_verifree():
    rewards, advantages, losses = play(method("verifree", form="own"), EXAMPLE)
    assert rewards == close([0.25, 0.0625, 0.015625, 0.5])
    assert advantages == digits(0.0573, -0.1927, -0.2552, 0.3906)
    likelihoods = [-LN2 * n for n in (2, 4, 6, 1)]
    assert [-loss.weight * logp for loss, logp in zip(losses, likelihoods, strict=True)] == digits(
        0.3466, 0.1733, 0.0650, 0.3466
    )
    assert [(loss.context, loss.target) for loss in losses] == [
        (PROMPT + one.completion.removesuffix(r"\boxed{x}"), r"\boxed{a b c d}") for one in EXAMPLE
    ]
    _, _, matched = play(method("verifree"), EXAMPLE)
    assert [one.weight for one in matched] == close(
        [loss.weight / one.tokens for loss, one in zip(losses, EXAMPLE, strict=True)]
    )


def test_nover():
    scores = method("nover").score(EXAMPLE, Example())
    assert [score[0] for score in scores] == digits(1.1892, 1.2599, 2.8284, 1.0443)
    assert group_rewards(scores, 0.0) == close([1.75, 1.5, 1.25, 2.0])
    rewards, _, _ = play(method("nover"), EXAMPLE)
    assert [r - s for r, s in zip(rewards, [1.75, 1.5, 1.25, 2.0], strict=True)] == close([1 / 3, 0, 0, 0])
    assert z_scores(rewards) == digits(0.9381, -0.5212, -1.1465, 0.7296)


def test_latro():
    _, advantages, losses = play(method("latro", form="own"), EXAMPLE)
    assert advantages == digits(1.1219, -0.6598, -2.6415, 2.1794)
    assert losses is None
    rewards, _, _ = play(method("latro"), [*EXAMPLE, rollout("and so", truncated=True)])
    assert rewards == close([-LN2 * n for n in (2, 4, 6, 1)] + [-6.5 * LN2])
    assert rewards[-1] == pytest.approx(-4.5055, abs=5e-5)
    _, _, losses = play(method("latro", form="own", answer_loss_weight=1.0), EXAMPLE)
    assert {(loss.target, loss.weight) for loss in losses} == {(r"\boxed{a b c d}<end>", 1.0)}


def test_dro():
    rewards, advantages, _ = play(method("dro"), EXAMPLE)
    assert rewards == digits(0.6226, 0.1702, -0.3527, 0.8633)
    assert advantages is None


def test_jepo():
    rewards, advantages, losses = play(method("jepo", support_weight=0.25), EXAMPLE)
    assert contributions(rewards) == digits(0.0717, -0.2092, -0.2686, 0.6381)
    assert advantages == digits(0.1731, -0.5050, -0.6485, 1.0)
    assert log_mean_exp(rewards) == pytest.approx(-1.5749, abs=5e-5)
    shares = [p / 0.828125 for p in (0.25, 0.0625, 0.015625, 0.5)]
    assert [loss.weight for loss in losses] == close([0.25 * 4 * share for share in shares])


# What must always hold.


@given(group_of)
def test_leave_one_out_advantages_are_z_scores_times_a_positive_factor_of_the_group(values):
    assume(max(values) - min(values) > 1e-2)
    advantages, scores = leave_one_out(values), z_scores(values, epsilon=0.0)
    assert sum(advantages) == pytest.approx(0, abs=1e-9)
    factor = max(advantages) / max(scores)
    assert factor > 0
    assert advantages == close([factor * score for score in scores])


@given(group_of, st.floats(0.1, 9), st.floats(-9, 9))
def test_z_scores_ignore_a_positive_factor_and_a_constant_of_the_group(values, factor, constant):
    assume(max(values) - min(values) > 1e-2)
    assert z_scores([factor * v + constant for v in values], 0.0) == pytest.approx(z_scores(values, 0.0), abs=1e-6)


class Given:
    """A scorer with given log-probabilities: of the i-th response, whose reasoning is the word `y<i>`, and without."""

    def __init__(self, rows, without):
        self.rows, self.without, self.tokenizer = rows, without, Example.tokenizer

    def span_logps(self, contexts, spans, *, after=None, any_ending=False, policy="current"):
        places = [next((i for i in range(len(self.rows)) if f"y{i} " in text), None) for text in contexts]
        return [self.without if place is None else self.rows[place] for place in places]


tables = st.integers(1, 5).flatmap(
    lambda k: st.tuples(
        st.lists(st.lists(st.floats(-8, 0), min_size=k, max_size=k), min_size=2, max_size=6),
        st.lists(st.floats(-8, 0), min_size=k, max_size=k),
    )
)


def played(chosen, table, extra=()):
    rows, without = table
    rollouts = [rollout(rf"y{i} \boxed{{x}}") for i in range(len(rows))]
    return play(chosen, [*rollouts, *extra], Given(rows, without))


def differ(values):
    return max(values) - min(values) > 1e-2


@given(tables)
def test_likelihood_per_token_is_the_same_as_likelihood_in_groups_without_a_floored_response(table):
    sums, means = (played(method("likelihood_rl", likelihood_per_token=mean), table)[0] for mean in (False, True))
    assume(differ(means))
    assert z_scores(means, 0.0) == pytest.approx(z_scores(sums, 0.0), abs=1e-6)
    floored = [rollout("no box")]
    sums, means = (
        played(method("likelihood_rl", likelihood_per_token=mean), table, floored)[0] for mean in (False, True)
    )
    assert sums[-1] == means[-1] == -30.0
    if len(table[1]) > 1 and differ(means[:-1]):
        assert z_scores(means, 0.0) != pytest.approx(z_scores(sums, 0.0), abs=1e-6)


@given(group_of, st.floats(-9, -0.5))
def test_a_relative_gain_over_the_likelihood_without_reasoning_is_the_same_as_likelihood(rewards, alone):
    assume(differ(rewards))
    assert z_scores([(r - alone) / abs(alone) for r in rewards], 0.0) == pytest.approx(z_scores(rewards, 0.0), abs=1e-6)


@given(tables, st.lists(st.floats(-8, 0), min_size=5, max_size=5))
def test_dro_is_the_same_whatever_the_likelihood_without_reasoning(table, other):
    rows, without = table
    first, second = (r3([(row, alone) for row in rows]) for alone in (without, other[: len(without)]))
    assume(differ(first))
    assert z_scores(first, 0.0) == pytest.approx(z_scores(second, 0.0), abs=1e-6)


@given(tables, st.floats(0.5, 1.0))
def test_rlpr_is_the_same_whatever_the_probability_without_reasoning_until_it_is_clipped(table, share):
    rows, _ = table
    lowest = min(sum(map(math.exp, row)) / len(row) for row in rows)
    chosen = method("rlpr", filter_strength=None)
    below, none = (played(chosen, (rows, [math.log(max(p, 1e-300))]))[0] for p in (share * lowest, 0.0))
    assume(differ(none))
    assert z_scores(below, 0.0) == pytest.approx(z_scores(none, 0.0), abs=1e-6)
    highest = max(sum(map(math.exp, row)) / len(row) for row in rows)
    clipped, _, _ = played(chosen, (rows, [math.log(highest)]))
    assert clipped == close([0.1] * len(rows))


@given(tables)
def test_verifrees_reward_is_between_0_and_1_and_orders_responses_as_likelihood_does(table):
    rewards, advantages, losses = played(method("verifree"), table)
    likelihood, _, _ = played(method("likelihood_rl"), table)
    assert all(0 <= r <= 1 for r in rewards)
    assert rewards == close(map(math.exp, likelihood))
    assert sum(advantages) == pytest.approx(0, abs=1e-9)
    assert all(loss.weight == reward / 9 for loss, reward in zip(losses, rewards, strict=True))


def test_verifree_and_latro_are_not_the_same_as_likelihood():
    likelihood, probability, latro = (play(method(name), EXAMPLE) for name in ("likelihood_rl", "verifree", "latro"))
    assert z_scores(probability[0]) != pytest.approx(z_scores(likelihood[0]), abs=0.1)
    assert latro[0] == likelihood[0]
    assert latro[1] != pytest.approx(z_scores(likelihood[0]), abs=0.1)


@given(st.lists(st.tuples(st.floats(1, 50), st.integers(1, 500)), min_size=1, max_size=8), st.floats(1.1, 3))
def test_nover_sees_only_the_order_of_perplexities(scores, power):
    rewards = group_rewards([*scores], 1.0)
    assert group_rewards([(p**power, length) for p, length in scores], 1.0) == close(rewards)
    assert all(1 + 1 / len(scores) <= r + 1e-9 and r <= 3 for r in rewards)
    best = min(range(len(scores)), key=lambda i: scores[i][0])
    assert group_rewards([*scores], 0.0)[best] == 2.0
    assert group_rewards([*scores, None], 1.0) == [*rewards, 0.0]


@given(st.floats(-9, -0.01), st.integers(1, 10**6), st.integers(1, 10**6))
def test_novers_perplexity_falls_with_the_length_of_the_reasoning(logp, one, other):
    short, long = sorted((one, other))
    assert perplexity([logp], long) <= perplexity([logp], short)
    assert perplexity([logp], 0) == perplexity([logp], 1) == pytest.approx(math.exp(-logp))


@given(st.lists(st.floats(-700, 0), min_size=1, max_size=8))
def test_jepos_bound_lies_between_the_mean_and_the_largest_log_likelihood(logps):
    assert sum(logps) / len(logps) - 1e-9 <= log_mean_exp(logps) <= max(logps) + 1e-9
    added = contributions(logps)
    assert all(math.isfinite(value) for value in added)
    order = sorted(range(len(logps)), key=lambda i: logps[i])
    assert all(added[a] <= added[b] + 1e-9 for a, b in pairwise(order))
    assert all(abs(clip(value)) <= 1 for value in scaled(added))


@given(st.floats(-30, 0), st.integers(1, 8))
def test_jepos_advantages_are_0_where_all_responses_are_alike(logp, count):
    assert [clip(value) for value in scaled(contributions([logp] * count))] == pytest.approx([0.0] * count, abs=1e-6)


@given(tables, st.floats(-5, 5))
def test_r3_weights_sum_to_1_and_tokens_without_difference_have_none(table, constant):
    rows, without = table
    rewards = r3([(row, without) for row in rows])
    shifted = r3([(row, [value - constant for value in without]) for row in rows])
    if any(differ(column) for column in zip(*rows, strict=True)):
        assert shifted == close([reward + constant for reward in rewards])
    alike = r3([([*row, -3.0], [*without, -9.0]) for row in rows])
    assert alike == close(rewards)


def test_r3_compares_the_last_tokens_where_numbers_of_tokens_differ():
    longer = ([-4.0, -1.0, -2.0], [-1.0, -1.0])
    plain = ([-3.0, -2.5], [-1.0, -1.0])
    assert r3([longer, plain]) == close(r3([(longer[0][1:], longer[1]), plain]))
    assert r3([]) == []


@given(st.integers(1, 12), st.integers(1, 30))
def test_a_window_of_ten_words_is_repetition_from_ten_times_on(period, times):
    cycle = [f"w{n}" for n in range(period)]
    words = (cycle * 200)[: period * times]
    windows = len(words) - 10 + 1
    assert repeats(" ".join(words)) == (math.ceil(windows / period) >= 10)


def test_rlprs_penalty_is_for_responses_with_a_reward():
    babble = "so it is that we go on and on again " * 12
    chosen = method("rlpr")
    [one] = chosen.score([rollout(rf"y0 {babble}\boxed{{x}}")], Example())
    assert one == pytest.approx(0.4375 - 1)
    assert chosen.score([rollout(f"y0 {babble}")], Example()) == [0.0]


# Responses that are not as asked for.

BAD = {
    "truncated": rollout(r"y0 \boxed{x}", truncated=True),
    "no box": rollout("y0 and no more"),
    "nothing": rollout(""),
    "empty box": rollout(r"y0 \boxed{}"),
    "open box": rollout(r"y0 \boxed{x"),
    "open fraction": rollout(r"y0 \boxed{\frac{1}{2"),
    "no reasoning": rollout(r"\boxed{x}"),
}
OPEN = ("open box", "open fraction")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", BAD)
def test_responses_that_are_not_as_asked_for(kind, form):
    group, bad = EXAMPLE[:3], BAD[kind]

    def of(family, **settings):
        rewards, advantages, losses = play(method(family, form=form, **settings), [*group, bad])
        return rewards[-1], advantages and advantages[-1], losses and losses[-1]

    # RLPR scores an open box that the policy ended, and denies it the format's 0.1 (and likewise a deviation from
    # the format gives 0 where nothing can be scored).
    reward, advantage, _ = of("rlpr")
    assert reward == pytest.approx(0.9 * 0.375 if kind in OPEN else 0.0)
    assert advantage is not None
    reward, advantage, loss = of("verifree")
    assert (reward, loss) == (0.0, None)
    assert advantage < 0
    assert of("nover")[0] == 0.0
    assert of("dro")[0] == -5.0
    reward, advantage, loss = of("jepo")
    assert (reward, loss) == (-10.0, None)
    assert advantage == -1.0
    # LaTRO needs neither a closed box nor an end of turn after it: only what is cut before a box is unfinished.
    finished = -2 * LN2 - (0.05 * DRIFT[0] if form == "own" and bad.completion.startswith("y0") else 0)
    reward, advantage, _ = of("latro")
    if kind in ("nothing", "no reasoning"):
        finished = sum(map(math.log, WITHOUT))
    assert reward == pytest.approx(finished)
    reward, _, _ = play(method("latro"), [*group, rollout("y0 and", truncated=True)])
    assert reward[-1] == pytest.approx(-8 * LN2), "twice the mean of -2, -4 and -6"


@pytest.mark.parametrize("family", RIVALS)
def test_a_group_without_a_usable_response_gives_no_advantage_and_no_answer_loss(family):
    rollouts = [rollout("so", truncated=True)] * 4
    rewards, advantages, losses = play(method(family), rollouts)
    assert len(set(rewards)) == 1
    assert (advantages or z_scores(rewards)) == pytest.approx([0.0] * 4)
    assert not any(losses or [])


@pytest.mark.parametrize("family", RIVALS)
def test_a_single_usable_response_is_better_than_the_others(family):
    rewards, advantages, _ = play(method(family), [*[rollout("so", truncated=True)] * 3, EXAMPLE[3]])
    advantages = advantages or z_scores(rewards)
    assert all(math.isfinite(value) for value in advantages)
    assert advantages[-1] > max(advantages[:-1])
    assert rewards[-1] > max(rewards[:-1])


@pytest.mark.parametrize("family", RIVALS)
def test_permuting_the_group_permutes_the_result(family):
    chosen = method(family)
    rewards, advantages, _ = play(chosen, [*EXAMPLE, BAD["no box"]])
    turned, turned_advantages, _ = play(chosen, [BAD["no box"], *EXAMPLE[::-1]])
    assert turned == close(rewards[::-1])
    assert (advantages is None) or turned_advantages == close(advantages[::-1])


@pytest.mark.parametrize("family", RIVALS)
def test_the_own_form_is_another_run_with_other_training_settings(family):
    matched, own = (method(family, form=form) for form in FORMS)
    assert matched.training_overrides == {}
    assert own.training_overrides["kl_coef"] in (0.0, 0.001, 0.1)
    assert matched.identity() != own.identity()
