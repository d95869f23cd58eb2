"""The credit viewer's page: its texts are intact, its numbers right to three digits, and its size bounded."""

import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generalthinker.methods import FAMILIES
from generalthinker.reporting.credit_viewer import columns, script_safe
from made_up_groups import AWKWARD, data_of, groups, write_page
from sample_methods import EntropyGate

MEGABYTES = 6


def decoded(text):
    return np.frombuffer(base64.b64decode(text), "<f2").astype(float)


def test_a_page_has_every_response_and_number(tmp_path):
    frame = groups(3, 4, 30, steps=(2, 4), vocabulary=(*AWKWARD, "a"))
    data = data_of(write_page(frame, tmp_path))
    assert data["steps"] == [2, 4]
    assert len(data["groups"]) == 3
    for _, line in frame.iterrows():
        group = data["groups"][line["group"]]
        response = group["responses"][line["response"]]
        scores = response["steps"][data["steps"].index(line["step"])]
        assert (group["question"], group["answer"]) == (line["question"], line["answer"])
        assert response["tokens"] == line["tokens"]
        assert response["boxed"] == (None if line["response"] == 2 else "</script>7")
        kept = ("prefix", "truncated", "correct")
        assert {name: response[name] for name in kept} == {name: line[name] for name in kept}
        assert scores["left_out"] == line["left_out"]
        assert scores["reward"] == pytest.approx(line["reward"], rel=1e-3)
        assert scores["advantage"] == pytest.approx(line["response_advantage"], rel=1e-3)
        for column in data["columns"]:
            np.testing.assert_allclose(decoded(scores["numbers"][column["name"]]), line[column["name"]], rtol=1e-3)


def test_the_page_opens_where_there_is_something_to_see(tmp_path):
    data = data_of(write_page(groups(3, 4, 30, steps=(2, 4)), tmp_path))
    assert data["first_group"] == 1, "its rewards differ most"
    assert data["steps"][data["first_step"]] == 4, "the run's result"
    assert data["first_column"] == "w"


def test_methods_without_token_credit_have_a_page_too(tmp_path):
    frame = groups(2, 4, 30).drop(columns=["s", "m", "clipped", "w"])
    data = data_of(write_page(frame, tmp_path, "binary_rl"))
    assert data["first_column"] == "logp"
    assert {column["name"] for column in data["columns"]} >= {"advantage", "entropy", "logp", "logp_reference"}


@pytest.mark.parametrize("family", [name for name, method in FAMILIES.items() if method(family=name).trained])
def test_every_number_is_explained(family):
    shown = columns(FAMILIES[family](family=family))
    assert all(column.label and column.about for column in shown)
    assert len({column.name for column in shown}) == len({column.label for column in shown}) == len(shown)


def test_a_method_may_name_a_number_as_the_page_does():
    shown = columns(EntropyGate(family="entropy_gate"))
    assert [column.name for column in shown][:2] == ["entropy", "advantage"]
    assert len({column.name for column in shown}) == len(shown) == 5


def test_the_same_data_give_the_same_bytes(tmp_path):
    frame = groups(2, 4, 30, vocabulary=tuple(AWKWARD))
    first = write_page(frame, tmp_path).read_bytes()
    assert write_page(frame, tmp_path).read_bytes() == first


def test_a_hundred_responses_of_1024_tokens_stay_small(tmp_path):
    page = write_page(groups(10, 10, 1024, vocabulary=(" likelihood", "中", "\n\n", "🧿")), tmp_path)
    assert page.stat().st_size < MEGABYTES * 1e6


def test_a_page_needs_no_network(tmp_path):
    page = write_page(groups(1, 3, 10), tmp_path).read_text()
    assert "http" not in page
    assert "src=" not in page


@given(
    value=st.recursive(st.text() | st.sampled_from(AWKWARD), lambda inner: st.lists(inner, max_size=4), max_leaves=6)
)
def test_no_text_ends_the_script(value):
    written = script_safe(value)
    assert "<" not in written
    assert json.loads(written) == value
