"""Both engines give the same greedy text, nothing is generated twice, and a missing engine is reported."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

import tiny
from generalthinker.answers.stage import grade_file
from generalthinker.config.load import load
from generalthinker.files import read_parquet, write_json, write_parquet
from generalthinker.generation import EngineUnavailableError, open_engine
from generalthinker.generation.base import Decoding, Generated
from generalthinker.generation.stage import generate_suite
from generalthinker.models.tiny import CONTEXT_TOKENS
from generalthinker.paths import Layout
from generalthinker.prompts import question_prompt
from generalthinker.records import RunSpec, slug
from generalthinker.reporting.measure import GradeFiles, IncompleteResultsError

BASE = RunSpec("small", "Base")


class CountingEngine:
    """Answers every question with the number of its benchmark, in any order of benchmarks, and fails when told to."""

    description = {"engine": "counting", "engine_version": "1"}  # noqa: RUF012

    def __init__(self, fail_at: int | None = None, order: int = 1) -> None:
        self.answered, self.fail_at, self.order = 0, fail_at, order

    def generate(self, prompts, max_new_tokens, decodings=None):
        for place in range(len(prompts))[:: self.order]:
            self.answered += 1
            if self.answered == self.fail_at:
                raise RuntimeError("out of memory")
            yield place, [Generated(f"benchmark {place} question {i}", 3, False) for i in range(len(prompts[place]))]


def question_prompts(tokenizer, count):
    texts = [question_prompt(tokenizer, row["question"]) for row in tiny.questions(count)]
    return tokenizer(texts, add_special_tokens=False)["input_ids"]


@pytest.fixture
def suite(tmp_path, tiny_model):
    """The demo's settings with two questions per benchmark in place."""
    settings = tiny.settings(tmp_path, tiny_model)
    layout = Layout(settings.results)
    questions = pd.DataFrame(tiny.questions(16)).assign(source="Synthetic")
    for place, name in enumerate(settings.suite_benchmarks("toys")):
        write_parquet(layout.benchmark(slug(name)), questions[2 * place : 2 * place + 2], {"benchmark": name})
    return settings


@pytest.mark.parametrize("order", [1, -1])
def test_a_suite_holds_every_question_of_its_benchmarks_in_order(suite, order):
    frame, metadata = read_parquet(generate_suite(suite, BASE, "toys", lambda *_: CountingEngine(order=order)))
    assert list(frame["benchmark"].unique()) == suite.suite_benchmarks("toys")
    assert list(frame["response"]) == [f"benchmark {place} question {i}" for place in range(8) for i in range(2)]
    assert metadata["generation"]["engine"] == "counting"
    assert {"versions", "commit", "gpus"} <= set(metadata["generation"])


def test_a_killed_suite_resumes_after_its_finished_benchmarks(suite):
    with pytest.raises(RuntimeError, match="out of memory"):
        generate_suite(suite, BASE, "toys", lambda *_: CountingEngine(fail_at=4))
    second = CountingEngine()
    frame, _ = read_parquet(generate_suite(suite, BASE, "toys", lambda *_: second))
    assert second.answered == 8 - 3
    assert len(frame) == 16


def test_finished_parts_of_other_settings_are_not_used(suite):
    with pytest.raises(RuntimeError):
        generate_suite(suite, BASE, "toys", lambda *_: CountingEngine(fail_at=4))
    longer = suite.model_copy(update={"evaluation": suite.evaluation.model_copy(update={"max_new_tokens": 33})})
    engine = CountingEngine()
    generate_suite(longer, BASE, "toys", lambda *_: engine)
    assert engine.answered == 8


def test_responses_to_the_same_questions_under_another_name_are_found_under_that_name(suite):
    first, second, *others = suite.suite_benchmarks("toys")
    layout = Layout(suite.results)
    shutil.copy(layout.benchmark(slug(first)), layout.benchmark(slug(second)))
    frame, _ = read_parquet(generate_suite(suite, BASE, "toys", lambda *_: CountingEngine()))
    assert frame.groupby("benchmark").size().to_dict() == dict.fromkeys([first, second, *others], 2)
    # A benchmark that is renamed
    shutil.copy(layout.benchmark(slug(first)), layout.benchmark("Renamed"))
    benchmarks = {"Renamed" if name == first else name: value for name, value in suite.benchmarks.items()}
    evaluation = suite.evaluation.model_copy(update={"suites": {"toys": list(benchmarks)}})
    renamed = suite.model_copy(update={"benchmarks": benchmarks, "evaluation": evaluation})
    engine = CountingEngine()
    frame, _ = read_parquet(generate_suite(renamed, BASE, "toys", lambda *_: engine))
    assert engine.answered == 0
    assert list(frame["benchmark"].unique()) == list(benchmarks)


def test_limit_takes_the_first_questions_only(suite):
    benchmarks = dict(suite.benchmarks)
    name = next(iter(benchmarks))
    benchmarks[name] = benchmarks[name].model_copy(update={"limit": 1})
    limited = suite.model_copy(update={"benchmarks": benchmarks})
    frame, _ = read_parquet(generate_suite(limited, BASE, "toys", lambda *_: CountingEngine()))
    assert (frame["benchmark"] == name).sum() == 1


def sampled(suite, count):
    """Return the settings with `count` sampled responses to each question of the first benchmark, and its name."""
    name = next(iter(suite.benchmarks))
    entry = suite.benchmarks[name].model_copy(update={"samples": count})
    return suite.model_copy(update={"benchmarks": suite.benchmarks | {name: entry}}), name


def test_a_sampled_benchmark_has_several_responses_to_each_question(suite, tiny_model):
    settings, name = sampled(suite, 3)
    given = []

    class Recording(CountingEngine):
        def generate(self, prompts, max_new_tokens, decodings=None):
            given.append((prompts, decodings))
            return super().generate(prompts, max_new_tokens)

    out = generate_suite(settings, BASE, "toys", lambda *_: Recording())
    frame, metadata = read_parquet(out)
    ids = [row["id"] for row in tiny.questions(16)[:2]]
    assert list(frame["id"][frame["benchmark"] == name]) == [f"{id}#sample-{n}" for id in ids for n in (1, 2, 3)]
    assert metadata["settings"]["samples"] == {name: 3}
    [(prompts, decodings)] = given
    assert [len(of_list) for of_list in prompts] == [6] + [2] * 7
    assert prompts[0][0] == prompts[0][2] != prompts[0][3]
    assert [decoding.temperature for decoding in decodings] == [0.6] + [0.0] * 7
    grades = out.with_name("grades.parquet")
    questions = [Path(Layout(settings.results).benchmark(slug(name))) for name in settings.benchmarks]
    grade_file(out, questions, grades, 1)
    write_json(Layout(settings.results).benchmark_manifest(slug(name)), {"rows_written": 2})
    placed = Path(Layout(settings.results).grades(BASE.name, "toys"))
    placed.parent.mkdir(parents=True)
    shutil.move(grades, placed)
    tally, _ = GradeFiles(settings).tally(BASE, name)
    assert (tally.total, tally.questions) == (6, 2)
    assert set(GradeFiles(settings).shares(BASE, name)) == set(ids)
    with pytest.raises(IncompleteResultsError, match="expected 8 responses, found 6"):
        GradeFiles(sampled(suite, 4)[0]).tally(BASE, name)


def test_sampled_settings_change_only_sampled_benchmarks(suite):
    settings, name = sampled(suite, 3)
    hotter = settings.evaluation.model_copy(update={"sampling_temperature": 0.9})
    changed = settings.model_copy(update={"evaluation": hotter})
    differing = [
        one for one in suite.benchmarks if changed.generation_identity(one) != settings.generation_identity(one)
    ]
    assert differing == [name]
    assert "samples" not in suite.generation_identity(name)
    assert settings.benchmark_identity(slug(name)) == suite.benchmark_identity(slug(name))


@pytest.mark.parametrize("engine", ["transformers", pytest.param("vllm", marks=pytest.mark.vllm)])
def test_sampled_responses_vary_and_come_again(tiny_model, tokenizer, engine):
    prompts = question_prompts(tokenizer, 2)
    lists = [[prompts[0]] * 6, [prompts[1]]]
    opened = open_engine(tiny.EVALUATION.model_copy(update={"engine": engine}), tiny_model, None)
    hot = [Decoding(1.0, 1.0, 7), Decoding()]
    first, again = (dict(opened.generate(lists, 24, hot)) for _ in range(2))
    assert first == again
    assert len({response.text for response in first[0]}) > 1
    assert first[1] == dict(opened.generate(lists, 24))[1], "the other list is greedy"
    assert dict(opened.generate(lists, 24, [Decoding(1.0, 1.0, 8), Decoding()]))[0] != first[0]


def test_a_prompt_that_does_not_fit_is_kept_as_truncated(suite, caplog):
    evaluation = suite.evaluation.model_copy(update={"max_model_len": 40})
    frame, _ = read_parquet(
        generate_suite(suite.model_copy(update={"evaluation": evaluation}), BASE, "toys", lambda *_: CountingEngine())
    )
    assert len(frame) == 16
    assert frame["truncated"].any()
    assert not frame["truncated"].all()
    assert "longer than evaluation.max_model_len = 40" in caplog.text


def test_the_tiny_models_take_prompts_as_long_as_the_trial_allows():
    trial = load([tiny.DEMO, tiny.DEMO.parent / "trial.yaml"])
    assert trial.evaluation.engine == "vllm"
    assert trial.evaluation.max_model_len <= CONTEXT_TOKENS


def test_truncation_is_what_the_token_limit_cut(tiny_model, tokenizer):
    engine = open_engine(tiny.EVALUATION, tiny_model, None)
    prompts = question_prompts(tokenizer, 8)
    [(_, short)], [(_, long)] = engine.generate([prompts], 2), engine.generate([prompts], 60)
    assert all(response.truncated and response.tokens == 2 for response in short)
    assert all(response.truncated == (response.tokens == 60) for response in long)
    assert not all(response.truncated for response in long)


@pytest.mark.vllm
def test_vllm_and_transformers_agree_in_float32(tiny_model, tokenizer):
    prompts = question_prompts(tokenizer, 40)
    lists = [prompts[:3], [], prompts[3:30], prompts[30:]]
    answers = {}
    for name in ("transformers", "vllm"):
        engine = open_engine(tiny.EVALUATION.model_copy(update={"engine": name}), tiny_model, None)
        answers[name] = dict(engine.generate(lists, 24))
        assert engine.description["engine"] == name
    assert answers["vllm"] == answers["transformers"]
    assert [len(answers["vllm"][place]) for place in range(4)] == [3, 0, 27, 10]


SAMPLING_OF_A_CHECKPOINT = {"do_sample": True, "repetition_penalty": 1.8, "temperature": 0.7, "top_p": 0.8, "top_k": 20}


@pytest.fixture
def with_sampling_parameters(tmp_path, tiny_model):
    """Return the tiny model's folder with sampling parameters as Qwen2.5-Instruct ships them, only stronger."""
    folder = tmp_path / "instruct"
    shutil.copytree(tiny_model, folder)
    own = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(own | SAMPLING_OF_A_CHECKPOINT))
    return folder


@pytest.mark.vllm
@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_sampling_parameters_of_the_checkpoint_do_not_change_greedy_decoding(
    with_sampling_parameters, tiny_model, tokenizer, engine
):
    prompts = question_prompts(tokenizer, 12)
    settings = tiny.EVALUATION.model_copy(update={"engine": engine})
    [(_, got)] = open_engine(settings, with_sampling_parameters, None).generate([prompts], 24)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    for response, prompt in zip(got, prompts, strict=True):
        ids = model.generate(torch.tensor([prompt]), max_new_tokens=24, do_sample=False)[0, len(prompt) :]
        assert response.text == tokenizer.decode(ids, skip_special_tokens=True)


@pytest.mark.vllm
def test_an_adapter_that_vllm_serves_gives_the_greedy_text_of_the_merged_model(tmp_path, tiny_model, tokenizer):
    torch.manual_seed(1)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32),
        LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM"),
    )
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.03)
    model.save_pretrained(tmp_path / "adapter")
    model.merge_and_unload().save_pretrained(tmp_path / "merged")
    tokenizer.save_pretrained(tmp_path / "merged")
    prompts = question_prompts(tokenizer, 40)
    vllm = tiny.EVALUATION.model_copy(update={"engine": "vllm"})
    [(_, served)] = open_engine(vllm, tiny_model, tmp_path / "adapter").generate([prompts], 24)
    [(_, merged)] = open_engine(vllm, tmp_path / "merged", None).generate([prompts], 24)
    [(_, plain)] = open_engine(tiny.EVALUATION, tiny_model, None).generate([prompts], 24)
    assert served == merged
    assert served != plain, "the adapter changes texts"


def test_vllm_by_name_fails_where_it_cannot_start_and_auto_falls_back(tiny_model, monkeypatch, caplog):
    import generalthinker.generation.vllm_engine as vllm_engine

    def unavailable(*_):
        raise EngineUnavailableError("vllm did not start: no AVX512")

    monkeypatch.setattr(vllm_engine, "VllmEngine", unavailable)
    with pytest.raises(EngineUnavailableError, match="AVX512"):
        open_engine(tiny.EVALUATION.model_copy(update={"engine": "vllm"}), tiny_model, None)
    engine = open_engine(tiny.EVALUATION.model_copy(update={"engine": "auto"}), tiny_model, None)
    assert engine.description["engine"] == "transformers"
    assert "no AVX512" in caplog.text
