r"""Teacher-forced scoring: which tokens count at a boundary, and that their log-probabilities are right."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer

import method_reference as reference
from generalthinker.rewards import Rollout, likelihood
from generalthinker.training.scoring import left_pad, prefix_tokens, span_logps

CPU = torch.device("cpu")
texts = st.text(alphabet=st.sampled_from("aZ 7.,=\\{}$\n") | st.characters(exclude_categories=["Cs"]), max_size=12)


class Uniform:
    """Gives the n-th last token of every row −n: what comes back shows which tokens were taken."""

    def __call__(self, ids, mask, keep):
        self.ids, self.mask = ids, mask
        return -torch.arange(keep, 0, -1.0).expand(len(ids), keep)


class Policy32:
    """The tiny model in float32, called in batches as the trainer calls it."""

    def __init__(self, folder):
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.no_grad()
    def __call__(self, ids, mask, keep):
        logits = self.model(input_ids=ids, attention_mask=mask).logits[:, :-1]
        return logits.log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(2)[:, -keep:]


@pytest.fixture(scope="module")
def merging(tiny_model):
    """A tokenizer with tokens that span the edge of a box and its content."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model, padding_side="left")
    tokenizer.add_tokens([AddedToken("{7"), AddedToken("{$5"), AddedToken(". \\boxed{C"), AddedToken("3}}")])
    return tokenizer


@pytest.mark.parametrize(
    ("answer", "first"), [("7", "{7"), ("71", "{7"), ("$5$", "{$5"), ("C. three", ". \\boxed{C"), ("{3}", "{")]
)
def test_a_token_that_spans_the_box_and_the_answer_is_scored_whole(merging, answer, first):
    [[*logps]] = span_logps(merging, Uniform(), ["so x. \\boxed{"], [answer + "}"], CPU)
    ids = merging("so x. \\boxed{" + answer + "}")["input_ids"]
    scored = merging.convert_ids_to_tokens(ids[len(ids) - len(logps) :])
    assert scored[0].replace("Ġ", " ") == first
    assert logps == [-float(n) for n in range(len(logps), 0, -1)]


@given(contexts=st.lists(texts, min_size=1, max_size=4), span=texts)
def test_scored_tokens_are_those_with_a_byte_in_the_span(merging, contexts, span):
    contexts, span = [context + "\\boxed{" for context in contexts], span + "}"
    # Ids that a normaliser may change text for are not comparable by bytes; this vocabulary has none.
    assume(all(merging.decode(merging(context + span)["input_ids"]) == context + span for context in contexts))
    got = span_logps(merging, Uniform(), contexts, [span] * len(contexts), CPU)
    assert [len(row) for row in got] == [reference.span_tokens(merging, context, span)[1] for context in contexts]


def test_the_likelihood_reward_equals_one_sequence_at_a_time_in_float64(tiny_model, tokenizer):
    policy = Policy32(tiny_model)
    slow = reference.Policy(AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float64))
    prefixes = ["2+5=7.", "I guess ", "naïve 😀 π, ", "first \\boxed{1}, no: ", "x" * 90 + "\n\n"]
    answers = ["7", "C. three", "\\frac{1}{2}", "$\\pi$ ≈ 3", "{[(7)]}"]
    rollouts = [
        Rollout(
            f"<|im_start|>user\n{'why ' * n}?<|im_end|>\n",
            f"{prefix}\\boxed{{x}}.",
            truncated=False,
            question="why",
            answer=answer,
            answer_type="math",
            options=None,
            tokens=9,
            group=0,
        )
        for n, prefix in enumerate(prefixes)
        for answer in answers
    ]

    class Scorer:
        def span_logps(self, contexts, spans, **_):
            return span_logps(tokenizer, policy, contexts, spans, CPU)

    got = likelihood.reward(rollouts, Scorer(), floor=-30.0)
    wanted = [
        reference.answer_logp(slow, tokenizer, r.prompt + r.completion.rpartition("\\boxed{")[0], r.answer)
        for r in rollouts
    ]
    assert got == pytest.approx(wanted, rel=1e-5)
    assert len({round(value, 3) for value in got}) == len(got)


def test_order_and_company_do_not_change_a_score(tiny_model, tokenizer):
    policy = Policy32(tiny_model)
    contexts, spans = ["a" * n + " \\boxed{" for n in (1, 40, 7)], ["7}", "long answer 12}", "é}"]
    together = span_logps(tokenizer, policy, contexts, spans, CPU)
    reverse = span_logps(tokenizer, policy, contexts[::-1], spans[::-1], CPU)[::-1]
    alone = [span_logps(tokenizer, policy, [c], [s], CPU)[0] for c, s in zip(contexts, spans, strict=True)]
    for rows in zip(together, reverse, alone, strict=True):
        assert rows[1] == pytest.approx(rows[0], rel=1e-5)
        assert rows[2] == pytest.approx(rows[0], rel=1e-5)


def test_nothing_to_score_needs_no_model(tokenizer):
    assert span_logps(tokenizer, None, [], [], CPU) == []


def test_left_padding_puts_every_sequence_at_the_right_end():
    ids, mask = left_pad([[1, 2, 3], [4]], 9, CPU)
    assert ids.tolist() == [[1, 2, 3], [9, 9, 4]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]


@given(prefix=texts, rest=texts)
def test_prefix_tokens_are_those_that_end_within_the_prefix(merging, prefix, rest):
    text = prefix + "\\boxed{" + rest
    ids = merging(text, add_special_tokens=False)["input_ids"]
    assume(merging.decode(ids, skip_special_tokens=True) == text)
    assert prefix_tokens(merging, ids, prefix) == reference.tokens_within(merging, ids, len(prefix.encode()))


@pytest.mark.parametrize("prefix", ["", "a", "😀", "π😀é", "naïve: 😀", "x. ", "x. y. "])
def test_prefix_tokens_with_split_characters_and_a_token_over_the_end(merging, prefix):
    ids = merging(prefix + "\\boxed{C. three}", add_special_tokens=False)["input_ids"]
    count = prefix_tokens(merging, ids, prefix)
    assert count == reference.tokens_within(merging, ids, len(prefix.encode()))
    spans = ". \\boxed{C" in merging.convert_ids_to_tokens(ids)
    assert spans == prefix.endswith(". ")
    assert (merging.decode(ids[:count]) == prefix) == (not spans)


@given(st.lists(st.integers(3, 390), max_size=30))
def test_prefix_tokens_of_whatever_a_policy_may_sample_never_reach_into_the_box(tokenizer, sampled):
    ids = sampled + tokenizer("\\boxed{7}")["input_ids"]
    text = tokenizer.decode(ids, skip_special_tokens=True)
    prefix = text[: text.rfind("\\boxed{")]
    assert prefix_tokens(tokenizer, ids, prefix) == len(sampled)
