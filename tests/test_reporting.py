"""From grades to printed numbers: rows, tables, figures, the report and the status, on results written by hand."""

import re
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generalthinker.code_versions import code_of_run
from generalthinker.config import Settings, load, parse_settings
from generalthinker.config.reporting import AverageTable
from generalthinker.files import write_json, write_parquet
from generalthinker.paths import Layout
from generalthinker.records import RunSpec
from generalthinker.reporting import cells, families, figures, report, rows, status, tables, writers
from generalthinker.reporting.differences import write_differences
from generalthinker.reporting.display import spoken
from generalthinker.reporting.measure import IncompleteResultsError
from generalthinker.reporting.statistics import interval_of_mean, percent, sample_deviation, wilson

SIZES = {"Sums": 4, "Maxima": 10, "Words": 5}
TINY = {
    "kind": "tiny", "hidden_size": 32, "layers": 1, "heads": 1, "key_value_heads": 1, "intermediate_size": 32,
    "vocabulary_size": 100, "steps": 1, "batch_size": 1, "learning_rate": 1e-3, "worked_share": 0.5,
    "slip_share": 0.2, "answer_conditioned_share": 0.1,
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    reported = tmp_path / "reported.csv"
    reported.write_text("table,group,row,column,accuracy_percent\nmain,Math & co_1,Sums,Base,50\nparts,,GT,Text,20.5\n")
    gt = {"model": "small", "method": "GT"}
    runs = {"Base": {"model": "small", "method": "Base"}, "GT": gt}
    groups = ["Math & co_1", "Text"]
    return parse_settings(
        {
            "name": "toy",
            "results": str(tmp_path / "results"),
            "reported_values": str(reported),
            "seeds": [1, 2],
            "data": {
                "train_rows": 16,
                "validation_rows": 4,
                "tokenizer_model": "small",
                "decontaminate_against": [*SIZES],
                "sources": {},
            },
            "models": {"small": {"label": "S", **TINY}, "large": {"label": "L", **TINY, "layers": 2}},
            "methods": {
                "Base": {"family": "base"},
                "GT": {"family": "generalthinker", "clip_threshold": None},
            },
            "benchmarks": {
                name: {"adapter": "synthetic", "dataset": "synthetic", "rows": size, "group": groups[name == "Words"]}
                for name, size in SIZES.items()
            },
            "evaluation": {"suites": {"math": ["Sums", "Maxima"], "text": ["Words"]}},
            "tables": {
                "main": {"kind": "benchmarks", "title": "Main & first", "groups": groups, "runs": runs},
                "parts": {"kind": "averages", "title": "Parts", "groups": groups, "runs": runs},
                "data": {"kind": "datasets", "title": "Data", "groups": groups},
                "knobs": {"kind": "hyperparameters", "title": "Knobs", "run": gt},
                "sweep": {
                    "kind": "benchmarks",
                    "title": "Over β",
                    "groups": ["Text"],
                    "sweep": {"run": gt, "modulation_strength": [0.05, 0.1]},
                },
            },
            "figures": {
                "figure1": {
                    "kind": "scaling",
                    "title": "Sizes",
                    "models": ["small", "large"],
                    "methods": ["Base", "GT"],
                    "groups": groups,
                },
                "figure2": {"kind": "dynamics", "title": "Dynamics", "metrics": ["kl", "entropy"], "runs": {"GT": gt}},
            },
        }
    )


# Right answers per benchmark: the untrained model, and the two seeds of every trained run.
RIGHT = {
    None: {"Sums": 1, "Maxima": 3, "Words": 1},
    1: {"Sums": 3, "Maxima": 5, "Words": 2},
    2: {"Sums": 2, "Maxima": 8, "Words": 2},
}


def write_grades(settings: Settings, run: RunSpec, suite: str) -> Path:
    parts = []
    for name in settings.suite_benchmarks(suite):
        size, right = SIZES[name], RIGHT[run.seed][name]
        reasons = ["equal"] * right + ["no_box", "unbalanced_box", "different"][: size - right]
        parts.append(
            pd.DataFrame(
                {
                    "benchmark": name,
                    "id": [f"{name}-{index}" for index in range(size)],
                    "correct": [index < right for index in range(size)],
                    "extracted": None,
                    "reason": reasons + ["different"] * (size - len(reasons)),
                    "truncated": [index == size - 1 for index in range(size)],
                    "tokens": 7,
                }
            )
        )
    path = Path(Layout(settings.results).grades(run.name, suite))
    generation = {"engine": "vllm", "engine_version": "vllm 0.31.0", "dtype": ["float32", "bfloat16"], "seed": 0}
    write_parquet(path, pd.concat(parts, ignore_index=True), {"generation": generation})
    return path


@pytest.fixture
def results(settings: Settings) -> Layout:
    layout = Layout(settings.results)
    for name, size in SIZES.items():
        manifest = {"dataset": "synthetic", "subset": name, "split": "test", "revision": None, "rows_written": size}
        write_json(layout.benchmark_manifest(name), manifest | {"sha256": "f" * 64, "origin": "made here"})
        ids = [f"{name}-{index}" for index in range(size)]
        write_parquet(layout.benchmark(name), pd.DataFrame({"id": ids, "question": ids, "domain": name}))
    for display in [*settings.tables, *settings.figures]:
        needed = (
            [pair for row in tables.rows(settings, display).values() for pair in cells.evaluations(settings, row)]
            if display in settings.tables
            else cells.figure_needs(settings, display).evaluations
        )
        for run, suite in needed:
            write_grades(settings, run, suite)
    for run in cells.figure_needs(settings, "figure2").histories:
        history = {"step": range(1, 41), "kl": [0.01 * step for step in range(40)], "entropy": 0.5, "reward": -1.5}
        write_parquet(layout.history(run.name), pd.DataFrame(history))
    return layout


def write_rows(settings: Settings, table: str) -> list[Path]:
    paths = {name: Path(Layout(settings.results).row(table, name)) for name in tables.rows(settings, table)}
    for name, path in paths.items():
        rows.write_row(settings, table, name, path)
    return list(paths.values())


def write_table(settings: Settings, table: str) -> tuple[Path, Path, Path]:
    layout = Layout(settings.results)
    csv, md, tex = (Path(layout.display(table, suffix)) for suffix in ("csv", "md", "tex"))
    if families.families(settings, table):
        write_differences(settings, table, *(Path(layout.differences(table, suffix)) for suffix in ("csv", "md")))
    writers.write_table(settings, table, write_rows(settings, table)[::-1], csv, md, tex)
    return csv, md, tex


@given(st.integers(1, 30_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_proportion_and_solves_its_equation(counts: tuple[int, int]) -> None:
    p, n = counts[0] / counts[1], counts[1]
    interval = wilson(p, n)
    assert 0 <= interval.low <= p <= interval.high <= 1
    for end in (interval.low, interval.high):
        if 0 < end < 1:
            assert (p - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / n, rel=1e-4, abs=1e-12)
    mean = interval_of_mean([p, p], [interval, interval])
    assert interval.low - 1e-12 <= mean.low <= p + 1e-12
    assert p - 1e-12 <= mean.high <= interval.high + 1e-12


def test_wilson_matches_published_values() -> None:
    """Newcombe (1998), table I, method 3."""
    for right, total, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        interval = wilson(right / total, total)
        assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)
    with pytest.raises(ValueError, match="at least one trial"):
        wilson(0.5, 0)


@given(st.fractions(0, 1, max_denominator=30_000))
def test_percent_rounds_halves_up(value: Fraction) -> None:
    printed = Fraction(percent(value))
    assert -Fraction(1, 200) < printed - 100 * value <= Fraction(1, 200)
    assert percent(-value) in ("0.00", f"-{percent(value)}")


def test_row_counts_averages_and_seeds(settings: Settings, results: Layout) -> None:
    write_rows(settings, "main")
    assert Path(results.row("main", "Sums")).read_text().splitlines()[0] == (
        "table,group,row,column,accuracy_percent,ci_low,ci_high,correct,total,responses,no_box,truncated,"
        "minimum_detectable,seeds,std,runs,engine,engine_version,dtype,tensor_parallel_size,eval_seed,device,commit,"
        "reported_percent,reported_ci_low,reported_ci_high,training_overlap,other_code"
    )
    base, trained = rows.read_row(Path(results.row("main", "Sums")))
    assert (base["accuracy_percent"], base["correct"], base["total"], base["seeds"]) == ("25.00", "1", "4", "1")
    assert (base["no_box"], base["truncated"], base["std"], base["reported_percent"]) == ("2", "1", "", "50")
    assert (base["engine_version"], base["dtype"], base["eval_seed"]) == ("vllm 0.31.0", "float32; bfloat16", "0")
    assert base["commit"] == base["device"] == ""
    assert (trained["accuracy_percent"], trained["correct"], trained["total"]) == ("62.50", "5", "8")
    assert trained["runs"] == "small/GT_strength-0.1_seed-1; small/GT_strength-0.1_seed-2"
    assert trained["std"] == percent(sample_deviation([Fraction(3, 4), Fraction(2, 4)]) or 0) == "17.68"
    # The interval is computed from four questions, for any number of seeds.
    assert trained["ci_low"] == percent(wilson(0.625, 4).low)
    average = rows.read_row(Path(results.row("main", "Average-Math-co_1")))
    # Base: (1/4 + 3/10) / 2; seeds: (3/4 + 5/10) / 2 and (2/4 + 8/10) / 2.
    assert [line["accuracy_percent"] for line in average] == ["27.50", "63.75"]
    assert [line["correct"] + line["total"] for line in average] == ["", ""]
    assert [line["responses"] for line in average] == ["14", "28"]
    assert average[1]["std"] == "1.77"  # 62.5 and 65


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda frame: frame[frame["benchmark"] != "Sums"], "benchmark 'Sums' is missing"),
        (lambda frame: frame[frame["id"] != "Sums-2"], "expected 4 responses, found 3"),
        (lambda frame: frame.replace("Sums-2", "Sums-1"), "'Sums-1' graded more than once"),
        (lambda frame: frame.replace("Sums-2", "Sums-9"), "'Sums-2' not graded; 'Sums-9' not in the benchmark"),
    ],
)
def test_incomplete_grades_are_an_error(settings: Settings, results: Layout, damage, message: str) -> None:
    ids = pd.DataFrame({"id": [f"Sums-{index}" for index in range(4)]})
    write_parquet(results.benchmark("Sums"), ids)
    path = results.grades("small/Base", "math")
    write_parquet(path, damage(pd.read_parquet(path)))
    with pytest.raises(IncompleteResultsError, match=re.escape(message)) as error:
        rows.write_row(settings, "main", "Sums", Path(results.row("main", "Sums")))
    assert path in str(error.value)
    assert not Path(results.row("main", "Sums")).exists()


def test_what_is_not_there_yet_is_named(settings: Settings, results: Layout) -> None:
    with pytest.raises(tables.UnknownRowError, match="no row 'Products'; its rows are: Sums, Maxima"):
        rows.write_row(settings, "main", "Products", Path("unused.csv"))
    Path(results.grades("small/Base", "text")).unlink()
    with pytest.raises(IncompleteResultsError, match="run `snakemake"):
        rows.write_row(settings, "main", "Words", Path("unused.csv"))
    with pytest.raises(tables.UnknownRowError, match=r"knobs has no row 'seed'.*ask for .*/knobs\.csv"):
        rows.write_row(settings, "knobs", "seed", Path("unused.csv"))
    with pytest.raises(IncompleteResultsError, match="row 'Sums' has no file"):
        writers.write_table(settings, "main", [], Path("a.csv"), Path("a.md"), Path("a.tex"))


def test_benchmark_table(settings: Settings, results: Layout) -> None:
    csv, md, tex = write_table(settings, "main")
    assert csv.read_text().splitlines() == [
        "group,benchmark,Base,GT",
        "Math & co_1,Sums,25.00,62.50",
        "Math & co_1,Maxima,30.00,65.00",
        "Math & co_1,Average,27.50,63.75",
        "Text,Words,20.00,40.00",
        "Text,Average,20.00,40.00",
    ]
    text = md.read_text()
    assert text.startswith("**main: Main & first**\n")
    assert "25.00° <sub>4.6–69.9</sub> (50.00)" in text
    assert "62.50° ± 17.68 <sub>" in text
    assert re.search(r"\| Sums .*\| +62\.65 \|", text)
    assert "Mean over 2 training seeds" in text
    assert "vllm 0.31.0, float32; bfloat16" in text
    latex = tex.read_text()
    assert r"\multicolumn{4}{l}{\textit{Math \& co\_1}} \\" in latex
    assert r"Sums & 25.00\textdegree{} & 62.50\textdegree{} {\scriptsize $\pm$ 17.68} & 62.65 \\" in latex


def test_average_table_marks_parts_and_what_differs_in_each_column(settings: Settings, results: Layout) -> None:
    csv, md, tex = write_table(settings, "parts")
    assert csv.read_text().splitlines() == [
        "method,AM,TC,DP,Math & co_1,Text",
        "Base,no,no,no,27.50,20.00",
        "GT,yes,no,yes,63.75,40.00",
    ]
    assert re.search(r"\| GT +\| ✓ +\| +\| ✓ +\| +\*\*63.75\*\*.*\| +40.00°.*\(20.50\) \|", md.read_text())
    assert r"GT & $\checkmark$ &  & $\checkmark$ & \textbf{63.75}" in tex.read_text()
    assert "Minimum detectable difference: 37.06 points in Math & co_1, 56.03 points in Text" in md.read_text()


def test_other_tables(settings: Settings, results: Layout) -> None:
    csv, md, tex = write_table(settings, "data")
    assert csv.read_text().splitlines()[1] == f"Math & co_1,Sums,synthetic,Sums,test,4,,{'f' * 64}"
    assert f"| {'f' * 10} |" in md.read_text()
    csv, _, tex = write_table(settings, "knobs")
    assert "lora_rank,32" in csv.read_text()
    assert r"lora\_rank & 32 \\" in tex.read_text()
    csv, md, tex = write_table(settings, "sweep")
    assert csv.read_text().splitlines()[0] == "group,benchmark,0.05,0.1"
    assert "β = 0.05" in md.read_text()
    assert r"$\beta$ = 0.05" in tex.read_text()


@pytest.mark.parametrize("table", ["main", "parts", "data", "sweep"])
def test_rows_are_joined_by_the_names_of_their_files(settings: Settings, results: Layout, table: str) -> None:
    csv = write_table(settings, table)[0]
    expected = csv.read_text()
    files = [Path(results.row(table, key)) for key in tables.rows(settings, table)]
    for path in files:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        frame.assign(table="renamed", group="same", row="same").to_csv(path, index=False)
    writers.write_table(settings, table, files, csv, csv.with_suffix(".md"), csv.with_suffix(".tex"))
    assert csv.read_text() == expected


def test_rows_with_the_same_file_name_are_an_error(settings: Settings) -> None:
    parts = settings.tables["parts"]
    assert isinstance(parts, AverageTable)
    same = parts.model_copy(update={"runs": {"A B": parts.choices["GT"], "A-B": parts.choices["Base"]}})
    with pytest.raises(tables.UnknownRowError, match="'A B' and 'A-B' have the same file name 'A-B'"):
        tables.rows(settings.model_copy(update={"tables": {"parts": same}}), "parts")


def test_a_table_without_rows_is_made_of_the_settings_alone(settings: Settings, tmp_path: Path) -> None:
    files = [tmp_path / f"knobs.{suffix}" for suffix in ("csv", "md", "tex")]
    writers.write_table(settings, "knobs", [], *files)
    assert "\nseed,1\n" in files[0].read_text()
    before = tables.from_settings(settings, "knobs")
    training = settings.training.model_copy(update={"learning_rate": 0.5})
    assert tables.from_settings(settings.model_copy(update={"training": training}), "knobs") != before


@given(st.text())
def test_latex_escapes_every_special_character(text: str) -> None:
    plain = writers.escape(text)
    for command in ("textbackslash{}", "textdegree{}", "textasciitilde{}", "textasciicircum{}", *"&%$#_{}"):
        plain = plain.replace(f"\\{command}", "")
    assert not re.search(r"[&%#_~^]", plain)
    assert plain.count("$") % 2 == 0


def test_figures_are_the_same_bytes_every_time(settings: Settings, results: Layout) -> None:
    for name in settings.figures:
        paths = [Path(results.display(name, suffix)) for suffix in ("png", "pdf")]
        first = [figures.write_figure(settings, name, *paths), *(path.read_bytes() for path in paths)]
        assert first[1].startswith(b"\x89PNG")
        assert first[2].startswith(b"%PDF")
        assert first == [figures.write_figure(settings, name, *paths), *(path.read_bytes() for path in paths)]


def test_a_figure_names_what_other_code_made(settings: Settings, results: Layout, monkeypatch) -> None:
    runs = cells.figure_needs(settings, "figure2").histories
    for run in runs:
        write_json(results.run_record(run.name), {"code": code_of_run(settings.method(run))})
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, *paths: drawn.append(figure.get_supxlabel()))
    figures.write_figure(settings, "figure2", Path("a.png"), Path("a.pdf"))
    write_json(results.run_record(runs[0].name), {"code": code_of_run(settings.method(runs[0])) | {"credit": "7"}})
    figures.write_figure(settings, "figure2", Path("a.png"), Path("a.pdf"))
    figures.write_figure(settings, "figure1", Path("a.png"), Path("a.pdf"))
    assert drawn[0] == ""
    assert re.match(rf"NOT MADE BY THIS CODE: {runs[0].name}: credit 7, now 1 in\s+credit\.$", drawn[1])
    assert "Base" in drawn[2], "its responses do not say which code generated them"
    evaluations = cells.figure_needs(settings, "figure1").evaluations
    assert len(evaluations) == 12
    more = len(evaluations) + 1 - figures.NAMED  # and the training above
    assert f"and {more} more, see" in " ".join(drawn[2].split()), "a note of any length would leave no room for axes"


def test_figure_without_history_says_what_to_run(settings: Settings, results: Layout) -> None:
    Path(results.history("small/GT_strength-0.1_seed-2")).unlink()
    with pytest.raises(IncompleteResultsError, match=r"seed-2/history.parquet: no such file; run `snakemake"):
        figures.write_figure(settings, "figure2", Path("a.png"), Path("a.pdf"))


class Balanced(HTMLParser):
    """Collects what a page loads, and fails on a tag that is closed in the wrong order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.loaded += [value[:22] for name, value in attrs if name in ("src", "href") and not value.startswith("#")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_report_is_one_page_with_or_without_results(settings: Settings, results: Layout, tmp_path: Path) -> None:
    for name in ("main", "parts"):
        write_table(settings, name)
    figures.write_figure(settings, "figure1", *(Path(results.display("figure1", suffix)) for suffix in ("png", "pdf")))
    validation = [{"step": 8, "accuracy": 0.625}, {"step": 16, "accuracy": 0.5}]
    record = {"steps": 16, "hardware": {"gpus": ["A100"] * 4}, "validation": validation, "kept_step": 8}
    write_json(results.run_record("small/GT_strength-0.1_seed-1"), record)
    report.write_report(settings, Path(results.report))
    page = Path(results.report).read_text()
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert parser.loaded == ["data:image/png;base64,"]
    for text in (
        "4 × A100",
        "8 (62.50 %)",
        "63.75",
        "figure2 is not drawn yet",
        "not finished",
        "Math &amp; co_1",
        "× cannot tell",
    ):
        assert text in page, text
    report.write_report(settings.model_copy(update={"results": str(tmp_path / "empty")}), tmp_path / "empty.html")
    assert "No run is evaluated yet" in (tmp_path / "empty.html").read_text()


def test_status_of_the_paper_before_anything_ran(tmp_path: Path) -> None:
    paper = load([Path(__file__).parents[1] / "config" / "config.yaml"])
    text = status.status(paper.model_copy(update={"results": str(tmp_path)}))
    assert "Runs: 11: 11 missing" in text
    assert re.search(r"figure4 +waiting +4", text)


def test_status_and_report_name_the_benchmarks_that_training_questions_were_not_compared_with(
    settings: Settings, results: Layout
) -> None:
    assert "Questions: not built yet" in status.status(settings)
    manifest = {
        "train": {"rows": 21_204},
        "validation": {"rows": 1000},
        "decontaminated_against": ["AMC23", "MMLU"],
        "not_decontaminated_against": {"GPQA": "gated, and Idavidrein/gpqa could not be read"},
    }
    write_json(results.mixture_manifest, manifest)
    report.write_report(settings, Path(results.report))
    for text in (" ".join(status.status(settings).split()), Path(results.report).read_text()):
        assert "21,204 for training, 1,000 for validation" in text
        assert "NOT COMPARED with GPQA (gated, and Idavidrein/gpqa could not be read)" in text


def test_captions_name_numbered_displays() -> None:
    assert [spoken(name) for name in ("table1", "figure12", "my_sweep")] == ["Table 1", "Figure 12", "my_sweep"]


def partial_table(settings: Settings, table: str) -> tuple[str, str, str]:
    paths = [Path(Layout(settings.results).partial(table, suffix)) for suffix in ("csv", "md", "tex")]
    writers.write_partial_table(settings, table, *paths)
    csv, md, tex = (path.read_text() for path in paths)
    return csv, md, tex


def test_a_partial_table_shows_every_cell_that_the_grades_allow(settings: Settings, results: Layout) -> None:
    Path(results.grades("small/GT_strength-0.1_seed-2", "math")).unlink()
    csv, md, tex = partial_table(settings, "main")
    assert csv.splitlines() == [
        "group,benchmark,Base,GT,missing_cells",
        "Math & co_1,Sums,25.00,,1",
        "Math & co_1,Maxima,30.00,,1",
        "Math & co_1,Average,27.50,,1",
        "Text,Words,20.00,40.00,0",
        "Text,Average,20.00,40.00,0",
    ]
    assert md.startswith("**main: PARTIAL, 3 of 10 cells are missing: Main & first**\n")
    assert "PARTIAL: 3 of 10 cells are missing" in md.splitlines()[-1]
    assert "**25.00**" not in md, "nothing is marked while results are missing"
    assert "°" not in md
    assert tex.count("PARTIAL") == 2
    assert not Path(results.display("main", "csv")).exists()


@pytest.mark.parametrize(
    ("table", "cells", "line"),
    [("main", 10, "Text,Words,,,2"), ("parts", 4, "GT,yes,no,yes,,,2"), ("data", 3, "Text,Words,,,,,,,1")],
)
def test_a_partial_table_of_nothing_is_empty_and_says_so(settings: Settings, table: str, cells: int, line: str) -> None:
    csv, md, tex = partial_table(settings, table)
    assert line in csv.splitlines()
    for text in (md, tex):
        assert text.count(f"PARTIAL, {cells} of {cells} cells are missing") == 1
        assert text.count(f"PARTIAL: {cells} of {cells} cells are missing") == 1


def test_a_partial_table_that_lacks_nothing_equals_the_whole(settings: Settings, results: Layout) -> None:
    for table in settings.tables:
        csv, md, _ = partial_table(settings, table)
        whole = write_table(settings, table)[0].read_text().splitlines()
        assert csv.splitlines() == [f"{whole[0]},missing_cells", *(f"{line},0" for line in whole[1:])]
        assert "PARTIAL" not in md
        assert "No cell is missing." in md


def test_a_damaged_grade_file_counts_as_missing_in_a_partial_table(settings: Settings, results: Layout) -> None:
    Path(results.grades("small/Base", "text")).write_bytes(b"half of a fi")
    assert "Text,Words,,40.00,1" in partial_table(settings, "main")[0]
