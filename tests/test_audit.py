"""The audit finds the wrong numbers among the paper's printed ones, and no others."""

from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generalthinker.config import Settings, load
from generalthinker.paths import Layout
from generalthinker.reporting.audit import audit, possible_counts, write_audit
from generalthinker.reporting.statistics import percent

ROOT = Path(__file__).parents[1]


@pytest.fixture
def paper(tmp_path: Path) -> Settings:
    settings = load([ROOT / "config" / "config.yaml"])
    reported = ROOT / str(settings.reported_values)
    return settings.model_copy(update={"results": str(tmp_path), "reported_values": str(reported)})


def changed(paper: Settings, tmp_path: Path, place: tuple[str, str, str, str], value: str) -> Settings:
    """Return the settings with one reported value replaced, or added where there is none."""
    frame = pd.read_csv(str(paper.reported_values), dtype=str, keep_default_na=False)
    frame = frame.set_index(["table", "group", "row", "column"])
    frame.loc[place, "accuracy_percent"] = value
    path = tmp_path / "changed.csv"
    frame.reset_index().to_csv(path, index=False)
    return paper.model_copy(update={"reported_values": str(path)})


def test_exactly_three_printed_values_cannot_be_right(paper: Settings) -> None:
    findings = audit(paper)
    places = findings[["check", "table", "row", "column", "reported_percent"]]
    assert list(places.itertuples(index=False, name=None)) == [
        ("impossible", "table1", "GSM8K", "Base", "71.63"),
        ("impossible", "table5", "GSM8K", "AM+TC", "71.79"),
        ("average", "table6", "Average", "0.2", "34.96"),
    ]
    assert "944/1319 = 71.57 and 945/1319 = 71.65" in findings["finding"][0]
    assert "its 4 benchmarks average 34.69" in findings["finding"][2]


@given(st.integers(1, 30_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_every_printed_count_is_possible(counts: tuple[int, int]) -> None:
    right, total = counts
    printed = percent(right / total)
    assert right in possible_counts(printed, total)
    for count in possible_counts(printed, total):
        assert abs(Decimal(count) * 100 / total - Decimal(printed)) <= Decimal("0.005000001")


@pytest.mark.parametrize(
    ("place", "value", "check", "text"),
    [
        (("table1", "Math & STEM", "AMC23", "Base"), "18.00", "impossible", "nearest: 7/40 = 17.50 and 8/40 = 20.00"),
        (("table4", "General", "Average", "GeneralThinker-7B"), "53.29", "average", "average 53.27"),
        (("table2", "", "AM only", "General"), "34.33", "average", "its 4 benchmarks in table5 average 34.31"),
        (
            ("table6", "General", "MMLU", "0.1"),
            "53.51",
            "contradiction",
            "53.51 here, 53.5 in table1 (MMLU, GeneralThinker)",
        ),
        (("table1", "General", "MMLU", "Best"), "53.50", "unknown", "no such cell"),
    ],
)
def test_a_wrong_value_is_reported(paper: Settings, tmp_path: Path, place, value: str, check: str, text: str) -> None:
    findings = audit(changed(paper, tmp_path, place, value)).set_index(["check", "row", "column"])
    assert text in findings.loc[(check, place[2], place[3]), "finding"]


def test_reproduced_values_stand_beside_reported_ones(paper: Settings, tmp_path: Path) -> None:
    row = Path(Layout(paper.results).row("table1", "AMC23"))
    row.parent.mkdir(parents=True)
    place = "table1,Math & STEM,AMC23"
    row.write_text(
        "table,group,row,column,accuracy_percent,ci_low,ci_high,reported_percent,reported_ci_low,reported_ci_high\n"
        f"{place},Base,15.00,7.06,29.07,17.50,8.75,31.95\n{place},GeneralThinker,2.50,0.44,12.88,30.00,18.07,45.43\n"
        f"{place},Extra,1.00,0.00,2.00,,,\n"
    )
    findings = audit(paper)
    reproduced = findings[findings["check"] == "reproduced"]
    assert reproduced[["column", "difference", "verdict"]].to_numpy().tolist() == [
        ["Base", "-2.50", "cannot tell"],
        ["GeneralThinker", "-27.50", "differs"],
    ]
    csv, md = tmp_path / "audit.csv", tmp_path / "audit.md"
    write_audit(paper, csv, md)
    assert len(pd.read_csv(csv)) == 5
    assert "0 × agrees, 1 × differs, 1 × cannot tell" in md.read_text()
    assert "table6, Average (General), 0.2: 34.96 is printed" in md.read_text()


def test_nothing_reported_is_nothing_to_audit(paper: Settings, tmp_path: Path) -> None:
    silent = paper.model_copy(update={"reported_values": None})
    assert audit(silent).empty
    write_audit(silent, tmp_path / "audit.csv", tmp_path / "audit.md")
    assert "Nothing was found." in (tmp_path / "audit.md").read_text()
