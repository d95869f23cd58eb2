"""The signals on marked responses: real readings of a real tiny model, from the marks to the figure."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from transformers import AutoTokenizer

import tiny
from generalthinker.config.reporting import CreditSettings
from generalthinker.data.marked import write_marked
from generalthinker.files import read_parquet
from generalthinker.paths import Layout
from generalthinker.prompts import answer_conditioned_prompt, question_prompt
from generalthinker.reporting.credit import COMPARISONS, write_credit
from generalthinker.training.groups import NothingSampledError
from generalthinker.training.signals import copies_of, write_signals
from test_credit_viewer import policy_at
from test_credit_viewer import scored as recomputed

EXAMPLES = Path(__file__).parent / "fixtures/marked.jsonl"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model):
    """Settings and the run of a training of four steps that has kept the adapters of its last two."""
    settings = tiny.settings(tmp_path_factory.mktemp("signals"), tiny_model, learning_rate=1e-3, keep_adapters=True)
    settings = with_credit(settings, responses=2)
    [run] = settings.runs(tiny.choice("GeneralThinker"))
    tiny.train(settings, run)
    return settings, run


def with_credit(settings, **more):
    return settings.model_copy(update={"credit": CreditSettings(runs={"S": tiny.choice("GeneralThinker")}, **more)})


def read(settings, run, out):
    """Return the marked responses and what the command has written of them."""
    layout = Layout(settings.results)
    write_marked(settings, Path(layout.marked))
    write_signals(settings, run, out)
    frame, metadata = read_parquet(out)
    assert metadata == {"run": run.name, "result_step": 4}
    return read_parquet(layout.marked)[0], frame


@pytest.fixture(scope="module")
def generated(trained):
    """The generated responses and their readings."""
    settings, run = trained
    return read(settings, run, Path(Layout(settings.results).signals(run.name)))


def test_every_policy_reads_every_copy(generated):
    marked, frame = generated
    assert len(marked) == 16
    assert frame.groupby(["step", "copy"]).size().to_dict() == {
        (s, c): 16 for s in (0, 3, 4) for c in ("wrong", "right")
    }
    texts = frame[frame["step"] == 3]["tokens"].map("".join)
    wanted = [text for _, line in marked.iterrows() for text in (line["response"], line["corrected"])]
    assert [text.removesuffix("<|im_end|>") for text in texts] == wanted


def test_the_wrong_tokens_are_those_that_differ_first(generated):
    marked, frame = generated
    for number, line in marked.iterrows():
        copies = frame[(frame["response"] == number) & (frame["step"] == 4)].set_index("copy")
        wrong, right = copies.loc["wrong"], copies.loc["right"]
        place = wrong["place"]
        assert list(wrong["tokens"][:place]) == list(right["tokens"][:place])
        assert wrong["tokens"][place] != right["tokens"][place]
        assert list(np.flatnonzero(right["marked"])) == [place]
        [(first, stop)] = line["mistakes"]
        ends = np.cumsum([len(token) for token in wrong["tokens"]])
        for at in np.flatnonzero(wrong["marked"]):
            assert at >= place
            assert at == place or ends[at - 1] < stop
            assert ends[at] > first
        assert 0 < place < min(wrong["prefix"], right["prefix"]), "in the reasoning of both"
        assert "".join(wrong["tokens"][: wrong["prefix"]]) == line["response"][: line["response"].rindex("\\boxed")]


def test_before_the_training_the_policy_is_the_initial_one(generated):
    _, frame = generated
    first = frame[frame["step"] == 0]
    for _, line in first.iterrows():
        np.testing.assert_array_equal(line["logp"], line["logp_reference"])
        shown = slice(0, line["prefix"])
        np.testing.assert_allclose(line["s"][shown], (line["logp_given_answer"] - line["logp"])[shown], atol=1e-4)
    last = frame[frame["step"] == 4]
    assert any((line["logp"] != line["logp_reference"]).any() for _, line in last.iterrows())


@pytest.mark.parametrize("step", [3, 4])
def test_the_numbers_are_those_of_the_policy_of_the_step(trained, generated, tokenizer, step):
    settings, run = trained
    marked, frame = generated
    policy = policy_at(settings, run, step)
    for _, line in frame[(frame["step"] == step) & (frame["response"] < 3)].iterrows():
        source = marked.iloc[line["response"]]
        text = source["response" if line["copy"] == "wrong" else "corrected"]
        ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        other = source["response"][source["response"].rindex("\\boxed{") + 7 : -1]
        shown = slice(0, line["prefix"])
        logps, entropies = recomputed(policy, tokenizer, question_prompt(tokenizer, line["question"]), ids)
        np.testing.assert_allclose(line["logp"], logps, atol=2e-4)
        np.testing.assert_allclose(line["entropy"], entropies, atol=2e-4)
        given = {}
        for name, answer in (("logp_given_answer", line["answer"]), ("logp_given_other", other)):
            prompt = answer_conditioned_prompt(tokenizer, line["question"], answer)
            given[name] = recomputed(policy, tokenizer, prompt, ids)[0][shown]
            np.testing.assert_allclose(line[name][shown], given[name], atol=2e-4)
        with policy.disable_adapter():
            initial, _ = recomputed(policy, tokenizer, question_prompt(tokenizer, line["question"]), ids)
        s = given["logp_given_answer"] - initial[shown]
        np.testing.assert_allclose(line["s"][shown], s, atol=2e-4)
        np.testing.assert_allclose(line["m"][shown], (s - s.mean()) / s.std(), atol=5e-3)
        assert np.abs(line["w"][shown]).max() == pytest.approx(1, abs=1e-5)


def test_what_comes_out_is_a_table_and_a_figure(trained, generated):
    settings, _ = trained
    files = [Path(Layout(settings.results).display("credit", suffix)) for suffix in ("csv", "md", "png", "pdf")]
    write_credit(settings, *files)
    table = pd.read_csv(files[0])
    assert set(table["policy"]) == {"before training", "step 3", "step 4", "result"}
    assert set(table["comparison"]) == set(COMPARISONS)
    entropy = table[(table["signal"] == "entropy") & (table["comparison"] == "same place")]
    assert (entropy["area"] == 0.5).all(), "it is chosen where the token is not known yet"
    assert all(file.stat().st_size > 500 for file in files[1:])


def test_the_same_run_gives_the_same_bytes(trained, generated, tmp_path):
    settings, run = trained
    write_signals(settings, run, tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == Path(Layout(settings.results).signals(run.name)).read_bytes()


def test_responses_that_a_person_has_marked_are_read_too(trained, generated, tmp_path):
    settings, run = trained
    _, frame = read(with_credit(settings, marked=str(EXAMPLES)), run, tmp_path / "signals.parquet")
    write_marked(settings, Path(Layout(settings.results).marked))  # for the other tests
    assert frame.groupby("step").size().to_dict() == dict.fromkeys((0, 3, 4), 5), "not a whole number of groups"
    alone = frame[frame["response"] == 2]
    assert set(alone["copy"]) == {"wrong"}
    assert set(alone["place"]) == {-1}
    for _, line in alone.iterrows():
        assert "39 °C" in "".join(np.array(line["tokens"])[line["marked"]])
    assert frame["task"].unique().tolist() == ["arithmetic", "facts"]


def test_a_token_that_both_copies_share_is_not_wrong(tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    line = {"question": "?", "answer": "23", "answer_type": "math", "options": None, "mistakes": [[2, 4]]}
    line |= {"response": "a=21\n\\boxed{21}", "corrected": "a=23\n\\boxed{23}"}
    wrong, right = copies_of(tokenizer, 0, line)
    assert [tokenizer.decode([one]) for one, marked in zip(wrong.ids, wrong.marked, strict=True) if marked] == ["1"]
    assert [tokenizer.decode([one]) for one, marked in zip(right.ids, right.marked, strict=True) if marked] == ["3"]
    # The wrong 2 of the right 23 is wrong where it ends.
    line |= {"response": "a=2\n\\boxed{2}", "mistakes": [[2, 3]]}
    wrong, right = copies_of(tokenizer, 0, line)
    assert wrong.place == right.place == wrong.marked.index(True)
    assert tokenizer.decode([wrong.ids[wrong.place]]) != "2"
    assert tokenizer.decode([right.ids[right.place]]) == "3"


def test_a_run_without_an_adapter_says_what_to_do(trained, tmp_path):
    settings, _ = trained
    [run] = settings.runs(tiny.choice("Binary-RL"))
    with pytest.raises(NothingSampledError, match="train the run first"):
        write_signals(settings, run, tmp_path / "none.parquet")
