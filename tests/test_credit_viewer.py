"""The data of the credit viewer: real responses whose numbers are those of their policy, at every step that is kept."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

import tiny
from generalthinker.cli import app
from generalthinker.files import read_parquet
from generalthinker.identity import identity_of_run
from generalthinker.paths import Layout
from generalthinker.prompts import answer_conditioned_prompt, question_prompt
from generalthinker.training import run as running
from generalthinker.training.groups import NothingSampledError, adapters_of, write_groups
from generalthinker.training.start import finished_before
from made_up_groups import data_of

METHODS = ("GeneralThinker", "Binary-RL", "NOVER")
GROUP = 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model):
    """Settings and folder of runs that were trained for four steps and keep their adapters."""
    folder = tmp_path_factory.mktemp("viewer")
    settings = tiny.settings(
        folder,
        tiny_model,
        methods={"NOVER": {"family": "nover"}},
        learning_rate=1e-3,
        keep_checkpoints=3,
        keep_adapters=True,
    )
    for method in METHODS:
        tiny.train(settings, run_of(settings, method))
    return settings, folder


def run_of(settings, method):
    [run] = settings.runs(tiny.choice(method))
    return run


@pytest.fixture(scope="module", params=METHODS)
def viewed(trained, request):
    """A run, and the lines that the command has written of it."""
    settings, folder = trained
    run, files = run_of(settings, request.param), f"{tiny.DEMO},{folder / 'override.yaml'}"
    done = CliRunner().invoke(app, ["credit-viewer", run.name, "--questions", "3", "--settings", files])
    assert done.exit_code == 0, done.output
    frame, metadata = read_parquet(Layout(settings.results).credit(run.name, "parquet"))
    assert metadata == {"run": run.name, "result_step": 4}
    return run, frame


def test_every_step_has_the_same_responses(viewed):
    _, frame = viewed
    assert frame.groupby("step").size().to_dict() == dict.fromkeys((2, 3, 4), 3 * GROUP)
    frame["text"] = frame["tokens"].map("".join)
    for _, lines in frame.groupby(["group", "response"]):
        assert (
            lines[["question", "answer", "text", "prefix", "boxed", "correct", "truncated"]].drop_duplicates().shape[0]
            == 1
        )
        assert lines["reward"].notna().all()
        first, *others = lines["logp"]
        assert not any(np.array_equal(first, other) for other in others), "every step has its own policy"
    assert frame["text"].nunique() > 3


def test_tokens_are_the_responses(viewed, tokenizer):
    _, frame = viewed
    for _, line in frame.iterrows():
        text = "".join(line["tokens"])
        assert text == tokenizer.decode(line["ids"])
        assert line["truncated"] == (tokenizer.eos_token_id not in line["ids"])
        if line["prefix"]:
            reasoning, rest = "".join(line["tokens"][: line["prefix"]]), "".join(line["tokens"][line["prefix"] :])
            assert "\\boxed{" not in reasoning.removesuffix("\\boxed{" + line["boxed"])
            assert f"boxed{{{line['boxed']}}}" in rest


def policy_at(settings, run, step):
    """Return the policy of a step, put together from the model and the kept adapter."""
    layout = Layout(settings.results)
    base = AutoModelForCausalLM.from_pretrained(layout.model("small"), dtype=torch.float32)
    policy = PeftModel.from_pretrained(base, layout.adapter(run.name)).eval()
    set_peft_model_state_dict(policy, load_file(adapters_of(settings, run)[0][step] / "adapter_model.safetensors"))
    return policy


@torch.no_grad()
def scored(policy, tokenizer, prompt, ids):
    """Return log-probability and entropy (T,) of a response's tokens, one response at a time and in float64."""
    asked = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    logits = policy(input_ids=torch.tensor([[*asked, *ids]])).logits[0, len(asked) - 1 : -1].double()
    logps = logits.log_softmax(-1)
    return logps[range(len(ids)), list(ids)].numpy(), -(logps.exp() * logps).sum(-1).numpy()


@pytest.mark.parametrize("step", [2, 4])
def test_the_numbers_are_those_of_the_policy_of_the_step(trained, viewed, tokenizer, step):
    settings, _ = trained
    run, frame = viewed
    policy = policy_at(settings, run, step)
    lines = frame[(frame["step"] == step) & (frame["response"] < 2)]
    for _, line in lines.iterrows():
        ids, prefix = line["ids"], line["prefix"]
        prompt = question_prompt(tokenizer, line["question"])
        logps, entropies = scored(policy, tokenizer, prompt, ids)
        np.testing.assert_allclose(line["logp"], logps, atol=2e-4)
        np.testing.assert_allclose(line["entropy"], entropies, atol=2e-4)
        with policy.disable_adapter():
            np.testing.assert_allclose(line["logp_reference"], scored(policy, tokenizer, prompt, ids)[0], atol=2e-4)
        told, _ = scored(policy, tokenizer, answer_conditioned_prompt(tokenizer, line["question"], line["answer"]), ids)
        np.testing.assert_allclose(line["logp_given_answer"][:prefix], told[:prefix], atol=2e-4)
        assert np.isnan(line["logp_given_answer"][prefix:]).all()


def test_credit_follows_from_rewards_and_log_probabilities(viewed):
    run, frame = viewed
    for _, group in frame.groupby(["step", "group"]):
        rewards = group["reward"].to_numpy()
        wanted = (rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-4)
        np.testing.assert_allclose(group["response_advantage"], wanted, atol=1e-3)
    if run.method == "Binary-RL":
        assert (frame["reward"] == frame["correct"]).all()
    if run.method != "GeneralThinker":
        assert not {"s", "m", "w"} & {*frame}
        assert all((line["advantage"] == np.float32(line["response_advantage"])).all() for _, line in frame.iterrows())
        return
    for _, line in frame[frame["prefix"] > 1].iterrows():
        whole, reasoning = line["response_advantage"], slice(0, line["prefix"])
        s, m, w = (line[name][reasoning] for name in ("s", "m", "w"))
        np.testing.assert_allclose(s, (line["logp_given_answer"] - line["logp_reference"])[reasoning], atol=1e-4)
        np.testing.assert_allclose(m, (s - s.mean()) / (s.std() + 1e-6), atol=2e-3)
        np.testing.assert_allclose(line["advantage"][reasoning], whole + 0.1 * abs(whole) * w, atol=1e-4)
        assert all(np.isnan(line[name][line["prefix"] :]).all() for name in ("s", "m", "clipped", "w"))
        assert (line["advantage"][line["prefix"] :] == np.float32(whole)).all()


def test_the_command_has_written_the_page(trained, viewed):
    settings, _ = trained
    run, frame = viewed
    data = data_of(Path(Layout(settings.results).credit(run.name, "html")))
    assert data["steps"] == [2, 3, 4]
    shown = [response["tokens"] for group in data["groups"] for response in group["responses"]]
    assert shown == [list(tokens) for tokens in frame[frame["step"] == 4].sort_values(["group", "response"])["tokens"]]
    assert data["first_column"] == ("w" if run.method == "GeneralThinker" else "logp")


def test_the_same_run_gives_the_same_bytes(trained, tmp_path):
    settings, _ = trained
    files = [tmp_path / name for name in ("first.parquet", "second.parquet")]
    for file in files:
        write_groups(settings, run_of(settings, "GeneralThinker"), file, 2)
    first, second = (file.read_bytes() for file in files)
    assert first == second


def test_questions_are_chosen_by_their_text(trained, tmp_path):
    settings, _ = trained
    run = run_of(settings, "Binary-RL")
    questions = [row["question"] for row in tiny.questions(32)]
    word = next(
        word for question in questions for word in question.split() if 1 < sum(word in q for q in questions) < 9
    )
    write_groups(settings, run, tmp_path / "some.parquet", 2, containing=word.upper())
    shown = read_parquet(tmp_path / "some.parquet")[0]["question"].drop_duplicates().tolist()
    assert shown == [*itertools.islice((q for q in questions if word.casefold() in q.casefold()), 2)]
    with pytest.raises(NothingSampledError, match="contains 'no such text'"):
        write_groups(settings, run, tmp_path / "none.parquet", 2, containing="no such text")


def test_a_model_that_is_not_trained_has_no_credit(trained):
    settings, _ = trained
    with pytest.raises(NothingSampledError, match="Base is not trained"):
        adapters_of(settings, run_of(settings, "Base"))


def test_a_run_that_is_under_way_shows_its_checkpoints(trained, tmp_path, tiny_model):
    settings = tiny.settings(tmp_path, tiny_model, keep_checkpoints=2, max_steps=3)
    run = run_of(settings, "GeneralThinker")
    with pytest.raises(NothingSampledError, match="generalthinker train small/GeneralThinker"):
        adapters_of(settings, run)
    identity = identity_of_run(settings, run)
    assert not finished_before(settings, run, identity, "ask")
    running.train(settings, run, identity)  # its result is not put where a finished run's is
    adapters, result = adapters_of(settings, run)
    assert ([*adapters], result) == ([2, 3], 3)
    (adapters[3] / "adapter_model.safetensors").write_bytes(b"cut off")
    assert adapters_of(settings, run)[1] == 2, "a damaged checkpoint is not used"
    assert adapters[3].exists(), "and not removed: a training may be at work on it"
    write_groups(settings, run, tmp_path / "groups.parquet", 1)
    assert read_parquet(tmp_path / "groups.parquet")[0]["step"].unique().tolist() == [2]


def test_adapters_are_kept_on_request_alone(trained, tmp_path, tiny_model):
    settings, _ = trained
    run = run_of(settings, "GeneralThinker")
    assert [*adapters_of(settings, run)[0]] == [2, 3, 4]
    other = tiny.settings(tmp_path, tiny_model, learning_rate=1e-3, keep_checkpoints=3)
    assert identity_of_run(other, run).key == identity_of_run(settings, run).key, "it changes no result"
    shutil.rmtree(Path(Layout(other.results).run(run.name)), ignore_errors=True)
    tiny.train(other, run)
    assert [*adapters_of(other, run)[0]] == [4]
