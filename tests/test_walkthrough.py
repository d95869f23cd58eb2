"""The walkthrough of one response: its tokens are the response's, and its numbers satisfy the equations."""

import re

import numpy as np
import pandas as pd
import pytest

import tiny
from generalthinker.reporting.walkthrough import draw_walkthrough
from generalthinker.training.walkthrough import NothingToShowError, write_walkthrough


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model):
    """Settings in which every method that has an adapter is trained for two steps."""
    settings = tiny.settings(tmp_path_factory.mktemp("walk"), tiny_model, max_steps=2, learning_rate=1e-3)
    for method in ("GeneralThinker", "AM only"):
        tiny.train(settings, settings.runs(tiny.choice(method))[0])
    return settings


@pytest.mark.parametrize("method", ["GeneralThinker", "AM only"])
def test_the_numbers_follow_from_one_another(trained, tmp_path, method):
    [run] = trained.runs(tiny.choice(method))
    table = tmp_path / "walk.csv"
    write_walkthrough(trained, run, table)
    frame = pd.read_csv(table, keep_default_na=False, na_values={"s": [""], "m": [""], "clipped": [""], "w": [""]})
    assert re.search(r"\\boxed\{.+\}", "".join(frame["token"])), "a whole response"
    prefix = frame[frame["in_prefix"]]
    whole = frame["response_advantage"].iloc[0]
    assert 0 < len(prefix) < len(frame)
    assert whole != 0
    np.testing.assert_allclose(prefix["m"], (prefix["s"] - prefix["s"].mean()) / prefix["s"].std(ddof=0), atol=1e-3)
    if method == "GeneralThinker":
        clipped = prefix["m"].clip(-2, 2)
        np.testing.assert_allclose(prefix["clipped"], clipped - clipped.mean(), atol=1e-4)
        np.testing.assert_allclose(prefix["w"], prefix["clipped"] / prefix["clipped"].abs().max(), atol=1e-4)
        np.testing.assert_allclose(prefix["advantage"], whole + 0.1 * abs(whole) * prefix["w"], atol=1e-4)
    else:
        assert "w" not in frame
        np.testing.assert_allclose(prefix["advantage"], whole + 0.1 * prefix["m"], atol=1e-4)
    assert (frame["advantage"][~frame["in_prefix"]] == whole).all()
    assert frame.loc[~frame["in_prefix"], "s"].isna().all()

    png, pdf = tmp_path / "walk.png", tmp_path / "walk.pdf"
    draw_walkthrough(table, png, pdf, trained.method(run))
    assert png.read_bytes().startswith(b"\x89PNG")
    first = png.read_bytes(), pdf.read_bytes()
    draw_walkthrough(table, png, pdf, trained.method(run))
    assert (png.read_bytes(), pdf.read_bytes()) == first


def test_a_method_without_token_credit_has_nothing_to_show(trained, tmp_path):
    [run] = trained.runs(tiny.choice("Binary-RL"))
    with pytest.raises(NothingToShowError, match="every token the response's advantage"):
        write_walkthrough(trained, run, tmp_path / "walk.csv")
