"""Evaluation health in the report: the shares of responses that could not be compared, recomputed from the grades."""

import re
from pathlib import Path

import pandas as pd
import pytest

from evaluated import evaluate, small_settings
from generalthinker.config import Settings
from generalthinker.files import write_parquet
from generalthinker.paths import Layout
from generalthinker.reporting.cells import all_evaluations
from generalthinker.reporting.health import NOTICED, health
from generalthinker.reporting.report import write_report


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return small_settings(tmp_path)


def test_counts_are_those_of_the_grades(settings: Settings) -> None:
    layout = evaluate(settings)
    found = health(settings)
    frames = [
        pd.read_parquet(layout.grades(run.name, suite)).assign(run=run.name) for run, suite in all_evaluations(settings)
    ]
    frame = pd.concat(frames)
    failures = frame[~frame["correct"] & (frame["reason"] != "different")]
    assert set(found.reasons) == set(failures["reason"])
    assert [failures["reason"].value_counts()[reason] for reason in found.reasons] == sorted(
        failures["reason"].value_counts(), reverse=True
    )
    assert [*found.groups] == ["Choice", "Numbers & co"]
    for benchmark, lines in [*found.groups.items(), (None, found.whole)]:
        assert [line.run for line in lines] == list(dict.fromkeys(frame["run"]))
        for line in lines:
            own = frame[(frame["run"] == line.run) & (True if benchmark is None else frame["benchmark"] == benchmark)]
            failed = own[~own["correct"] & (own["reason"] != "different")]
            assert (line.responses, line.correct, line.tokens) == (len(own), own["correct"].sum(), own["tokens"].sum())
            assert dict(line.failures) == failed["reason"].value_counts().to_dict()
            assert line.failed == pytest.approx(100 * len(failed) / len(own))


def test_a_report_shows_for_every_run_how_many_answers_were_no_option(settings: Settings) -> None:
    """18 % of one benchmark's verdicts are `not_an_option` in each run, and 4 % have no box: the first is noticed."""
    layout = Layout(settings.results)
    for number, (run, suite) in enumerate(all_evaluations(settings)):
        options = 18 + number
        reasons = ["not_an_option"] * options + ["no_box"] * 4 + ["letter"] * 50 + ["different"] * (46 - options)
        choice = pd.DataFrame(
            {"benchmark": "Choice", "reason": reasons, "correct": [one == "letter" for one in reasons]}
        )
        numbers = pd.DataFrame({"benchmark": "Numbers & co", "reason": ["equal_value"] * 9, "correct": True})
        write_parquet(layout.grades(run.name, suite), pd.concat([choice, numbers]).assign(tokens=7, truncated=False))
    found = health(settings)
    assert NOTICED == 5
    assert found.noticed() == ["Choice: not_an_option 18.0 to 21.0 % (at least 5 % in 4 of 4 runs)"]
    write_report(settings, Path(layout.report))
    page = Path(layout.report).read_text()
    assert found.noticed()[0] in page
    section = page[page.index('id="health"') : page.index('id="provenance"')]
    noticed = re.findall(r'number noticed">([\d.]+)<', section)
    # Two noticed cells per run in each of two tables: all failures together, and those that are no option.
    assert noticed[-8:] == ["22.0", "18.0", "23.0", "19.0", "24.0", "20.0", "25.0", "21.0"]
    assert len(noticed) == 16
    assert section.count("<code>no_box</code>") == 2
