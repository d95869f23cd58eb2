"""The settings: what is refused and how the message says so; schema and YAML files match the code."""

import copy
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from generalthinker.config import SettingsError, load, load_frozen, parse_settings
from generalthinker.config.data import MIRROR_VARIABLE
from generalthinker.config.load import freeze, schema
from generalthinker.config.reporting import RunChoice
from generalthinker.config.training import TrainingSettings
from generalthinker.data import synthetic
from generalthinker.methods import FAMILIES, SWEEPABLE
from generalthinker.methods.generalthinker import GeneralThinker
from generalthinker.records import RunSpec, slug

ROOT = Path(__file__).parent.parent
PAPER = yaml.safe_load((ROOT / "config/config.yaml").read_text())
DEMO = yaml.safe_load((ROOT / "config/demo.yaml").read_text())


def refuse(path: list, value) -> str:
    """Return the message for the paper's configuration with one key changed."""
    content = copy.deepcopy(PAPER)
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(SettingsError) as caught:
        parse_settings(content, "config/config.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (["training", "learnig_rate"], 1.0e-6, ["training.learnig_rate", "1e-06", "did you mean 'learning_rate'"]),
        (["training", "learning_rate"], "1e-6", ["training.learning_rate", "'1e-6'", "1.0e-6"]),
        (["training", "learning_rate"], 0.0, ["training.learning_rate", "0.0", "greater than 0"]),
        (["training", "group_size"], "8", ["training.group_size", "'8'", "integer"]),
        (
            ["methods", "AM only", "modulation_strength"],
            0.0,
            ["methods.AM only.modulation_strength", "0.0", "greater than 0", "β"],
        ),
        (["methods", "AM only", "modulation_strength"], 1.0, ["methods.AM only", "1.0", "less than 1", "β"]),
        (
            ["methods", "AM+TC", "clip_threshold"],
            -2.0,
            ["methods.AM+TC.clip_threshold", "-2.0", "greater than 0", "τ"],
        ),
        (["training", "batch_size"], 63, ["batch_size", "63", "group_size = 8", "multiples of 8"]),
        (["training", "micro_batch_size"], 7, ["micro_batch_size", "7", "64", "[1, 2, 4, 8"]),
        (["tables", "table1", "runs", "Base", "method"], "Bse", ["table1", "'Bse'", "unknown method", "'Base'"]),
        (["tables", "table1", "runs", "Base", "model"], "qwen", ["table1", "'qwen'", "unknown model", "qwen2.5-7b"]),
        (["tables", "table1", "groups"], ["Math"], ["table1", "'Math'", "unknown group", "Math & STEM"]),
        (["evaluation", "suites", "math"], ["AMC"], ["suites.math", "'AMC'", "unknown benchmark", "AMC23"]),
        (["evaluation", "suites", "gpqa"], ["GPQA"], ["GPQA-Diamond", "in no suite"]),
        (["evaluation", "suites", "mmlu"], ["MMLU", "MMLU-Pro"], ["'MMLU-Pro'", "already in suite"]),
        (["tables", "table6", "sweep", "modulation_strength"], [0.1, 1.5], ["modulation_strength.1", "1.5"]),
        (["tables", "table1", "kind"], "wide", ["tables.table1", "'wide'", "'benchmarks'"]),
        (["methods", "Binary-RL", "family"], "binry", ["methods.Binary-RL", "binry", "'binary_rl'", "'likelihood_rl'"]),
        (["methods", "Binary-RL"], {}, ["methods.Binary-RL", "family", "binary_rl", "likelihood_rl"]),
        (["methods", "AM only", "modulation_strenth"], 0.1, ["methods.AM only.modulation_strenth", "did you mean"]),
        (["figures", "figure4", "metrics"], ["kl", "entrpy"], ["figures.figure4.metrics", "'entrpy'", "'entropy'"]),
        (["benchmarks", "GSM8K", "adapter"], "gsm", ["benchmarks.GSM8K.adapter", "'gsm'", "gsm8k"]),
        (["benchmarks", "GSM8K", "revision"], None, ["benchmarks.GSM8K.revision", "openai/gsm8k", "mirror"]),
        (["data", "tokenizer_model"], "gpt2", ["data.tokenizer_model", "'gpt2'", "qwen2.5-1.5b"]),
        (["models", "Qwen2.5 1.5B"], PAPER["models"]["qwen2.5-3b"] | {"labl": "x"}, ["labl", "did you mean 'label'"]),
        (["seeds"], [1, 1], ["seeds", "every seed once"]),
        (["seeds"], [], ["seeds", "at least 1"]),
    ],
)
def test_bad_settings_are_refused_with_key_value_and_what_is_allowed(path, value, expected, monkeypatch):
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    message = refuse(path, value)
    for part in ["config/config.yaml", *expected]:
        assert part in message


def test_a_strength_for_a_method_without_modulation_is_refused():
    run = {"model": "qwen2.5-1.5b", "method": "Binary-RL", "modulation_strength": 0.2}
    message = refuse(["tables", "table1", "runs", "Binary-RL"], run)
    assert "modulation_strength: 'Binary-RL' is of the family 'binary_rl', which has no such knob" in message
    run = {"model": "qwen2.5-1.5b", "method": "AM only", "clip_threshold": 1.0}
    message = refuse(["tables", "table2", "runs", "AM only"], run)
    assert "clip_threshold: it is off (null) in 'AM only'; leave it out" in message
    assert "can be set here: ['modulation_strength']" in message


@pytest.mark.parametrize(
    ("path", "value", "yaml_instead"),
    [
        (["methods", "Base"], {"reward": None}, {"Base": {"family": "base"}}),
        (["methods", "Binary-RL"], {"reward": "binary"}, {"Binary-RL": {"family": "binary_rl"}}),
        (
            ["methods", "AM+TC"],
            {"reward": "likelihood", "advantage_modulation": True, "token_clipping": True},
            {"AM+TC": PAPER["methods"]["AM+TC"]},
        ),
        (
            ["training", "clip_threshold"],
            3.0,
            {
                "AM only": None,
                "AM+DP": None,
                "AM+TC": {"clip_threshold": 3.0},
                "GeneralThinker": {"clip_threshold": 3.0},
            },
        ),
        (["training", "reward_floor"], -20.0, {"Likelihood-RL": {"reward_floor": -20.0}}),
    ],
)
def test_keys_of_earlier_versions_are_answered_with_the_yaml_to_write(path, value, yaml_instead):
    message = refuse(path, value)
    written = yaml.safe_load(message[message.index("methods:\n") :])["methods"]
    for name, entry in yaml_instead.items():
        assert written.get(name) == entry


@pytest.mark.parametrize("by_variable", [True, False], ids=["environment variable", "setting"])
def test_a_local_mirror_needs_no_revision(by_variable, monkeypatch):
    content = copy.deepcopy(PAPER)
    del content["benchmarks"]["GSM8K"]["revision"], content["data"]["sources"]["MATH"]["revision"]
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    with pytest.raises(
        SettingsError, match=rf"(?s)sources\.MATH\.revision: missing.*{MIRROR_VARIABLE}.*GSM8K\.revision"
    ):
        parse_settings(content)
    if by_variable:
        monkeypatch.setenv(MIRROR_VARIABLE, "mirror")
    else:
        content["mirror"] = "mirror"
    assert parse_settings(content).benchmarks["GSM8K"].revision is None


def test_two_names_with_one_file_name_are_refused():
    assert "same file name" in refuse(["methods", "AM-only"], {"family": "generalthinker"})


def test_missing_files_and_bad_yaml_are_named(tmp_path):
    with pytest.raises(SettingsError, match="no such file"):
        load([tmp_path / "none.yaml"])
    (tmp_path / "bad.yaml").write_text("a: [1")
    with pytest.raises(SettingsError, match=r"bad\.yaml: not valid YAML"):
        load([tmp_path / "bad.yaml"])
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(SettingsError, match="expected a mapping"):
        load([tmp_path / "list.yaml"])


@pytest.mark.parametrize("content", [PAPER, DEMO], ids=["paper", "demo"])
def test_the_json_schema_accepts_the_configurations_and_offers_every_family(content):
    jsonschema.validate(content, schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content | {"methods": {"AM": {"family": "generalthinkr"}}}, schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content | {"trainig": {}}, schema())
    assert set(FAMILIES) <= set(schema()["properties"]["methods"]["additionalProperties"]["discriminator"]["mapping"])


def test_the_paper_configuration_states_table_7():
    training = load([ROOT / "config/config.yaml"]).training
    assert (training.epochs, training.batch_size, training.group_size) == (1, 64, 8)
    assert (training.kl_coef, training.temperature, training.max_completion_tokens) == (0.001, 1.0, 1024)
    assert load([ROOT / "config/config.yaml"]).methods["GeneralThinker"] == GeneralThinker(family="generalthinker")
    assert (
        GeneralThinker(family="generalthinker").modulation_strength,
        PAPER["methods"]["AM+TC"]["clip_threshold"],
    ) == (
        0.1,
        2.0,
    )
    assert (training.lora.rank, training.lora.alpha) == (32, 64)
    assert training == TrainingSettings(micro_batch_size=4, save_every=50), "defaults are the paper's"


def test_every_setting_of_a_method_is_explained():
    for family in FAMILIES.values():
        assert family.__doc__
        for name, field in family.model_fields.items():
            assert name == "family" or field.description, f"{family.__name__}.{name}"


def test_every_key_is_explained():
    explained = (ROOT / "config/README.md").read_text()
    for section in (
        "data",
        "models",
        "benchmarks",
        "training",
        "evaluation",
        "tables",
        "figures",
        "credit",
        "threads",
    ):
        # Knobs are explained where they are defined, by their families.
        for key in _keys(schema(), section) - set(SWEEPABLE):
            assert f"`{key}`" in explained, f"config/README.md does not explain {section}: {key}"


def _keys(full: dict, section: str) -> set[str]:
    keys: set[str] = set()

    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                walk(full["$defs"][node["$ref"].rsplit("/", 1)[1]])
            keys.update(node.get("properties", {}))
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(full["properties"][section])
    return keys


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"runs": {"S": {"model": "smal", "method": "Base"}}}, "credit.runs.S: model = 'smal': unknown model"),
        (
            {"runs": {"S": {"model": "small", "method": "Base"}}},
            "credit.runs.S: 'Base' is not trained; the model before",
        ),
        ({"runs": {}, "response": 3}, "credit.response = 3: unknown key; did you mean 'responses'"),
        ({"runs": {}, "responses": 0}, "credit.responses = 0: input should be greater than or equal to 1"),
    ],
)
def test_the_runs_whose_credit_is_measured_are_checked(section, expected):
    with pytest.raises(SettingsError) as caught:
        parse_settings(DEMO | {"credit": section})
    assert expected in str(caught.value)


def test_a_file_that_is_laid_over_another_removes_runs_from_the_credit():
    content = DEMO | {"credit": DEMO["credit"] | {"runs": DEMO["credit"]["runs"] | {"M": None}}}
    assert list(parse_settings(content).credit.runs) == ["S", "L"]
    assert parse_settings(DEMO | {"credit": None}).credit is None


def test_frozen_settings_read_back_the_same(tmp_path):
    settings = parse_settings(DEMO | {"results": str(tmp_path)})
    path = freeze(settings)
    assert load_frozen(path) == settings
    assert freeze(settings) == path


@pytest.fixture(scope="module")
def paper():
    return load([ROOT / "config/config.yaml"])


@given(
    strength=st.floats(0.001, 0.999),
    clip=st.floats(0.01, 100),
    seed=st.integers(0, 10**6),
    method=st.sampled_from(list(PAPER["methods"])),
    model=st.sampled_from(list(PAPER["models"])),
)
def test_run_names_read_back_as_the_run(strength, clip, seed, method, model):
    settings = parse_settings(PAPER)
    entry = settings.methods[method]
    values = {"modulation_strength": strength, "clip_threshold": clip}
    knobs = entry.with_knobs(
        {knob.field: values[knob.field] for knob in entry.knob_values if knob.field in values}
    ).knob_values
    run = RunSpec(model, method, knobs, seed if entry.trained else None)
    assert settings.run(run.name) == run
    assert settings.method(run).knob_values == knobs


def test_run_names_are_those_of_the_first_release(paper):
    names = {
        "Base": "Base",
        "Binary-RL": "Binary-RL_seed-1",
        "AM only": "AM-only_strength-0.1_seed-1",
        "AM+TC": "AM+TC_strength-0.1_clip-2.0_seed-1",
        "GeneralThinker": "GeneralThinker_strength-0.1_clip-2.0_seed-1",
    }
    for method, name in names.items():
        [run] = paper.runs(RunChoice(model="qwen2.5-3b", method=method))
        assert run.name == f"qwen2.5-3b/{name}"


def test_a_sweep_over_two_knobs_is_their_grid(paper):
    content = copy.deepcopy(PAPER)
    content["tables"]["table6"]["sweep"] |= {"modulation_strength": [0.1, 0.2], "clip_threshold": [1.0, 3.0]}
    settings = parse_settings(content)
    spec = settings.tables["table6"]
    assert list(spec.choices) == [f"β = {b}, τ = {t}" for b in (0.1, 0.2) for t in (1.0, 3.0)]
    assert len({run.name for choice in spec.choices.values() for run in settings.runs(choice)}) == 4
    assert paper.tables["table6"].sweep.headings()["0.2"] == "β = 0.2"


@pytest.mark.parametrize("name", ["GeneralThinker", "qwen2.5-1.5b/Foo_seed-1", "qwen2.5-1.5b/GeneralThinker_seed-1"])
def test_run_names_that_say_too_little_are_refused(paper, name):
    with pytest.raises(ValueError, match=r"expected|full name"):
        paper.run(name)


def test_only_what_changes_a_result_changes_its_identity(paper):
    run = paper.run("qwen2.5-1.5b/AM+DP_strength-0.1_seed-1")
    identity = paper.training_identity(run)

    def changed(**training):
        content = copy.deepcopy(PAPER)
        content["training"] |= training
        return parse_settings(content).training_identity(run)

    assert changed(micro_batch_size=8, save_every=7, report_to="tensorboard") == identity
    assert changed(learning_rate=2.0e-6) != identity

    def changed_method(name, **method):
        content = copy.deepcopy(PAPER)
        content["methods"][name] |= method
        return parse_settings(content).training_identity(run)

    assert changed_method("AM+DP", modulation_strength=0.2) == identity, "the run's name says which β it has"
    assert changed_method("AM+DP", bound="tanh") != identity
    assert changed_method("GeneralThinker", bound="tanh") == identity, "another method"
    content = copy.deepcopy(PAPER)
    content["models"]["qwen2.5-1.5b"] |= {"licence": "other words", "label": "one and a half"}
    assert parse_settings(content).training_identity(run) == identity, "what only cards and headings say"
    unbounded = paper.run("qwen2.5-1.5b/AM-only_strength-0.1_seed-1")
    content = copy.deepcopy(PAPER)
    content["methods"]["AM only"]["bound"] = "tanh"
    assert parse_settings(content).training_identity(unbounded) == paper.training_identity(unbounded), "w is not used"


def test_the_demo_asks_for_tasks_that_exist():
    assert {benchmark["subset"] for benchmark in DEMO["benchmarks"].values()} == set(synthetic.TASKS)


def test_more_seeds_are_one_line(paper):
    more = parse_settings(PAPER | {"seeds": [1, 2, 3]})
    choice = more.tables["table1"].choices["GeneralThinker"]
    assert [run.seed for run in more.runs(choice)] == [1, 2, 3]
    assert len(more.runs(more.tables["table1"].choices["Base"])) == 1


@given(st.text(min_size=1))
def test_slugs_are_safe_file_names(name):
    assert "/" not in slug(name)
    assert not set(slug(name)) & set(" \n\t\0")


def test_an_overlay_of_one_table_leaves_others_that_share_its_anchor_alone(tmp_path):
    overlay = {"tables": {"table2": {"runs": {"More": {"model": "qwen2.5-1.5b", "method": "Binary-RL"}}}}}
    (tmp_path / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    loaded = load([ROOT / "config/config.yaml", tmp_path / "overlay.yaml"])
    assert "More" in loaded.tables["table2"].choices
    assert "More" not in loaded.tables["table5"].choices


def test_the_list_of_benchmarks_that_training_avoids_is_asked_for_and_checked():
    content = copy.deepcopy(PAPER)
    del content["data"]["decontaminate_against"]
    with pytest.raises(SettingsError, match=r"data.decontaminate_against: missing(.|\n)*\[MATH-500, GSM8K"):
        parse_settings(content)
    assert "unknown benchmark 'AMC'" in refuse(["data", "decontaminate_against"], ["AMC"])
