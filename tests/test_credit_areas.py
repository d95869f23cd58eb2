"""How well a signal finds the wrong step: areas, comparisons and intervals on made-up readings."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from generalthinker.config.load import load
from generalthinker.config.reporting import CreditSettings
from generalthinker.files import write_parquet
from generalthinker.methods import FAMILIES
from generalthinker.paths import Layout
from generalthinker.reporting import report
from generalthinker.reporting.credit import (
    AFTER,
    ALL,
    BEFORE,
    COMPARISONS,
    area,
    by_task,
    measure,
    summarise,
    suspicion,
    write_credit,
)
from generalthinker.reporting.measure import IncompleteResultsError

ROOT = Path(__file__).parent.parent
METHOD = FAMILIES["generalthinker"](family="generalthinker")
WITHIN, AT_PLACE, SAME_PLACE = COMPARISONS
values = st.lists(st.integers(-3, 3), min_size=1, max_size=12)


@given(values, values)
def test_the_area_is_the_share_of_pairs_and_mann_and_whitneys_u(wrong, others):
    pairs = [(one > other) + (one == other) / 2 for one in wrong for other in others]
    found = area(np.array(wrong, dtype=float), np.array(others, dtype=float))
    assert found == pytest.approx(sum(pairs) / len(pairs))
    assert found == pytest.approx(stats.mannwhitneyu(wrong, others).statistic / len(pairs))
    assert found == pytest.approx(1 - area(-np.array(wrong, dtype=float), -np.array(others, dtype=float)))


def test_a_perfect_signal_has_area_1_its_opposite_0_and_a_constant_one_a_half():
    wrong, others = np.array([2.0, 3.0]), np.array([0.0, 1.0, 1.5])
    assert (area(wrong, others), area(-wrong, -others), area(wrong * 0, others * 0)) == (1, 0, 0.5)
    assert area(np.array([1.0]), np.array([1.0 + 1e-6])) == 0.5, "rounding errors make no difference"
    assert np.isnan(area(np.array([]), others))


def reading(step=4, response=0, kind="wrong", task="sum", place=2, marked=(2,), seed=0, tokens=8, **numbers):
    """Return one line of `training.signals`, the last two tokens of which are not reasoning."""
    rng = np.random.default_rng([seed, step, response, kind == "right"])
    names = ("logp", "logp_reference", "logp_given_answer", "logp_given_other", "entropy", "s", "m", "clipped", "w")
    drawn = {name: np.where(np.arange(tokens) < tokens - 2, -rng.exponential(1, tokens), np.nan) for name in names}
    named = {"step": step, "response": response, "copy": kind, "task": task, "place": place, "prefix": tokens - 2}
    named["marked"] = np.isin(np.arange(tokens), marked)
    return named | drawn | {name: np.array(value, dtype=float) for name, value in numbers.items()}


def found(lines, step=4):
    """Return the areas of one run by (policy, signal, comparison)."""
    areas = measure(pd.DataFrame(lines), step, METHOD)
    return areas.set_index(["policy", "signal", "comparison"])["area"]


def test_every_signal_blames_what_it_should():
    low, level = [0, 0, -9, 0, 0, 0, 0, 0], [-1.0] * 8
    line = reading(logp=low, logp_given_answer=low, logp_given_other=level, entropy=[0, 0, 9, 0, 0, 0, 0, 0])
    line |= {name: np.array(low, dtype=float) for name in ("s", "m", "w")}
    blamed = suspicion(line, METHOD)
    assert [*blamed] == ["s", "m", "w", "policy-policy", "between answers", "low probability", "entropy", "random"]
    assert {len(signal) for signal in blamed.values()} == {6}, "the reasoning alone"
    areas = found([line])
    for name in ("s", "m", "w", "between answers", "low probability", "entropy"):
        assert areas[AFTER, name, WITHIN] == 1, name
    assert areas[AFTER, "policy-policy", WITHIN] == 0.5, "the answer changes nothing here"
    opposite = found([line | {"s": -line["s"], "logp": -line["logp"]}])
    assert (opposite[AFTER, "s", WITHIN], opposite[AFTER, "low probability", WITHIN]) == (0, 0)


def test_the_same_place_tells_a_wrong_token_from_a_place_where_one_can_err():
    place = [0, 0, -9, 0, 0, 0, 0, 0]
    both = [reading(s=place, logp=place), reading(kind="right", s=place, logp=[0, 0, -3, 0, 0, 0, 0, 0])]
    areas = found(both)
    assert (areas[AFTER, "s", WITHIN], areas[AFTER, "s", AT_PLACE], areas[AFTER, "s", SAME_PLACE]) == (1, 1, 0.5)
    assert areas[AFTER, "low probability", SAME_PLACE] == 1
    alone = found([reading()])
    assert {comparison for *_, comparison in alone.index} == {WITHIN}, "without a right copy"
    outside = found([reading(marked=(6,), place=6), reading(kind="right", marked=(6,), place=6)])
    assert outside.empty, "a place outside of the reasoning has no credit of its own"


def test_areas_of_random_numbers_are_those_of_the_pairs():
    lines = [reading(response=number, marked=(1, 4), place=1) for number in range(20)]
    lines += [reading(response=number, kind="right", marked=(1,), place=1) for number in range(20)]
    areas = measure(pd.DataFrame(lines), 4, METHOD)
    for number in range(20):
        m = -lines[number]["m"][:6]
        pairs = [m[wrong] > m[other] for wrong in (1, 4) for other in (0, 2, 3, 5)]
        chosen = areas[(areas["response"] == number) & (areas["signal"] == "m") & (areas["policy"] == AFTER)]
        of = chosen.set_index("comparison")["area"]
        assert of[WITHIN] == np.mean(pairs)
        assert of[SAME_PLACE] == (m[1] > -lines[20 + number]["m"][1])


def test_policies_are_named_by_their_step():
    areas = found([reading(step=step) for step in (0, 2, 4)], step=2)
    assert {policy for policy, *_ in areas.index} == {BEFORE, "step 2", AFTER, "step 4"}
    assert areas["step 2", "entropy", WITHIN] == areas[AFTER, "entropy", WITHIN]


def frames():
    """Return areas of one run with two seeds: 7 responses of one task, 5 of another."""
    parts = []
    for seed in (1, 2):
        lines = [
            reading(response=n, task="sum" if n < 7 else "order", seed=seed, step=s)
            for n in range(12)
            for s in (0, 10, 4)
        ]
        parts.append(measure(pd.DataFrame(lines), 4, METHOD).assign(run="S", seed=seed))
    return pd.concat(parts, ignore_index=True)


def test_intervals_are_students_over_responses_whose_seeds_are_averaged_first():
    areas = frames()
    table = summarise(areas)
    assert list(dict.fromkeys(table["policy"])) == [BEFORE, "step 4", "step 10", AFTER], "in the order of the steps"
    assert list(dict.fromkeys(table["task"])) == [ALL, "sum", "order"]
    for task, count in ((ALL, 12), ("sum", 7), ("order", 5)):
        chosen = areas[(areas["policy"] == AFTER) & (areas["signal"] == "s")]
        chosen = chosen if task == ALL else chosen[chosen["task"] == task]
        responses = chosen.groupby("response")["area"].mean().to_numpy()
        low, high = stats.t.interval(0.95, count - 1, loc=responses.mean(), scale=stats.sem(responses))
        [line] = table[(table["policy"] == AFTER) & (table["signal"] == "s") & (table["task"] == task)].to_dict(
            "records"
        )
        assert (line["area"], line["responses"], line["seeds"]) == (pytest.approx(responses.mean()), count, 2)
        assert (line["ci_low"], line["ci_high"]) == (pytest.approx(max(low, 0)), pytest.approx(min(high, 1)))
        assert line["deviation"] == pytest.approx(chosen.groupby("seed")["area"].mean().std())


def test_one_response_has_no_interval():
    table = summarise(measure(pd.DataFrame([reading()]), 4, METHOD).assign(run="S", seed=1))
    assert table[["ci_low", "ci_high", "deviation"]].isna().all(axis=None)


def test_the_table_by_task_has_a_line_per_run_and_signal():
    table = by_task(summarise(frames()))
    assert [*table] == ["run", "signal", ALL, "sum", "order"]
    assert list(table["signal"][:3]) == ["s", "m", "w"]
    assert len(table) == 8


@pytest.fixture
def measured(tmp_path):
    """Settings of the demo whose smallest run was read at three steps."""
    demo = load([ROOT / "config/demo.yaml"])
    settings = demo.model_copy(
        update={"credit": CreditSettings(runs={"S": demo.credit.runs["S"]}), "results": str(tmp_path / "results")}
    )
    [run] = settings.runs(settings.credit.runs["S"])
    kinds = [(response, kind) for response in range(6) for kind in ("wrong", "right")]
    lines = [
        reading(step=s, response=n, kind=kind, task="sum" if n < 3 else "rank") for s in (0, 2, 4) for n, kind in kinds
    ]
    write_parquet(Layout(settings.results).signals(run.name), pd.DataFrame(lines), {"run": run.name, "result_step": 4})
    return settings


def files(settings):
    return [Path(Layout(settings.results).display("credit", suffix)) for suffix in ("csv", "md", "png", "pdf")]


def test_the_same_readings_give_the_same_files(measured):
    write_credit(measured, *files(measured))
    first = [file.read_bytes() for file in files(measured)]
    write_credit(measured, *files(measured))
    assert [file.read_bytes() for file in files(measured)] == first
    table = pd.read_csv(files(measured)[0])
    assert set(table["comparison"]) == set(COMPARISONS)
    assert table["area"].between(0, 1).all()
    assert len(table) == 4 * 8 * 3 * 3, "policies, signals, comparisons, tasks"
    assert "| S " in files(measured)[1].read_text()


def test_the_report_shows_it_once_it_is_there(measured, tmp_path):
    page = tmp_path / "report.html"
    report.write_report(measured, page)
    assert "Not measured yet" in page.read_text()
    write_credit(measured, *files(measured))
    report.write_report(measured, page)
    text = page.read_text()
    assert "Does the credit find the wrong step?" in text
    assert all(f"<td>{name}</td>" in text for name in ("policy-policy", "between answers", "low probability", "random"))
    report.write_report(measured.model_copy(update={"credit": None}), page)
    assert "wrong step" not in page.read_text()


def test_missing_readings_say_what_to_run(measured):
    [run] = measured.runs(measured.credit.runs["S"])
    Path(Layout(measured.results).signals(run.name)).unlink()
    with pytest.raises(IncompleteResultsError, match=r"signals/small/.*parquet: no such file; run `snakemake"):
        write_credit(measured, *files(measured))
    with pytest.raises(IncompleteResultsError, match="the section `credit` is missing"):
        write_credit(measured.model_copy(update={"credit": None}), *files(measured))
