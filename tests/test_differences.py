"""Differences between runs: each statistic against an independent computation, and what the tests promise."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

from generalthinker.config import Settings, load
from generalthinker.config.reporting import AverageTable, RunChoice
from generalthinker.files import write_json, write_parquet
from generalthinker.paths import Layout
from generalthinker.records import slug
from generalthinker.reporting import cells, tables
from generalthinker.reporting.accuracies import mark
from generalthinker.reporting.comparison import AGREES, CANNOT_TELL, DIFFERS, compared, verdict, write_comparison
from generalthinker.reporting.differences import EXACT, Answers, Questions, compare, differences, write_differences
from generalthinker.reporting.display import Entry, signed_interval
from generalthinker.reporting.families import families, read_differing
from generalthinker.reporting.findings import findings
from generalthinker.reporting.measure import IncompleteResultsError
from generalthinker.reporting.rows import write_row
from generalthinker.reporting.statistics import Interval, interval_of_difference, minimum_detectable, wilson
from generalthinker.reporting.tables import Gap

right = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60)


def answers(*benchmarks: list) -> Answers:
    return Answers([np.atleast_2d(np.array(benchmark, dtype=bool)) for benchmark in benchmarks])


def unrelated(*sizes: int) -> list[np.ndarray]:
    return [np.array([f"{place}-{number}" for number in range(size)]) for place, size in enumerate(sizes)]


@given(right)
def test_one_training_and_one_benchmark_give_mcnemars_exact_test(pairs: list[tuple[bool, bool]]) -> None:
    first, second = zip(*pairs, strict=True)
    found = compare(answers([first]), answers([second]), unrelated(len(pairs)))
    better = sum(a and not b for a, b in pairs)
    worse = sum(b and not a for a, b in pairs)
    p = stats.binomtest(better, better + worse).pvalue if better + worse else 1.0
    assert found.test == EXACT
    assert found.p == pytest.approx(p)
    assert found.difference == pytest.approx(100 * (sum(first) - sum(second)) / len(pairs))
    assert (found.only_run, found.only_other) == pytest.approx((100 * better / len(pairs), 100 * worse / len(pairs)))
    assert found.ci_low < found.ci_high
    back = compare(answers([second]), answers([first]), unrelated(len(pairs)))
    assert (back.difference, back.ci_low, back.ci_high, back.p) == pytest.approx(
        (-found.difference, -found.ci_high, -found.ci_low, found.p)
    )


def test_the_interval_of_one_benchmark_is_bonett_and_prices() -> None:
    """Bonett and Price (2012), equation 4, computed with fractions: 9 and 2 discordant answers of 20."""
    first = [True] * 9 + [False] * 2 + [True] * 9
    second = [False] * 9 + [True] * 2 + [True] * 9
    found = compare(answers([first]), answers([second]), unrelated(20))
    centre, spread = 10 / 22 - 3 / 22, 1.959964 * math.sqrt((13 / 22 - (7 / 22) ** 2) / 22)
    assert (found.ci_low, found.ci_high) == pytest.approx((100 * (centre - spread), 100 * (centre + spread)), rel=1e-6)


def two_way_variance(gaps: np.ndarray, clusters: np.ndarray) -> dict[str, float]:
    """Return Cameron, Gelbach and Miller's variances of the mean of `gaps` (seeds, questions), in loops over groups."""
    seeds, questions = gaps.shape
    residuals = gaps - gaps.mean()

    def clustered(groups: list[list[tuple[int, int]]]) -> float:
        total = sum(sum(residuals[place] for place in group) ** 2 for group in groups)
        return len(groups) / (len(groups) - 1) * total / gaps.size**2

    places = [(s, q) for s in range(seeds) for q in range(questions)]
    by_question = [[p for p in places if clusters[p[1]] == name] for name in sorted(set(clusters))]
    by_seed = [[p for p in places if p[0] == seed] for seed in range(seeds)]
    both = [[p for p in group if p[0] == seed] for group in by_question for seed in range(seeds)]
    return {"question": clustered(by_question), "seed": clustered(by_seed), "both": clustered(both)}


@pytest.mark.parametrize("subjects", [False, True])
def test_several_seeds_are_clustered_by_question_and_by_seed(subjects: bool) -> None:
    random = np.random.default_rng(3)
    first, second = random.random((4, 30)) < 0.7, random.random((4, 30)) < 0.5
    clusters = np.array([f"{number % 12 if subjects else number}" for number in range(30)])
    found = compare(Answers([first]), Answers([second]), [clusters])
    parts = two_way_variance(first.astype(float) - second.astype(float), clusters)
    variance = max(parts["question"] + parts["seed"] - parts["both"], parts["question"], parts["seed"])
    count = 12 if subjects else 30
    freedom = variance**2 / (parts["question"] ** 2 / (count - 1) + parts["seed"] ** 2 / 3)
    gap = first.mean() - second.mean()
    assert found.p == pytest.approx(2 * stats.t.sf(abs(gap) / math.sqrt(variance), freedom))
    assert found.ci_high - found.ci_low == pytest.approx(200 * stats.t.ppf(0.975, freedom) * math.sqrt(variance))
    assert found.clusters == count
    assert found.test == f"t, clustered by {'subject' if subjects else 'question'} and seed"


def test_an_average_gives_every_benchmark_the_same_weight() -> None:
    random = np.random.default_rng(5)
    first = [random.random((1, size)) < 0.6 for size in (40, 400)]
    second = [random.random((1, size)) < 0.5 for size in (40, 400)]
    found = compare(Answers(first), Answers(second), unrelated(40, 400))
    gaps = [a.astype(float) - b.astype(float) for a, b in zip(first, second, strict=True)]
    assert found.difference == pytest.approx(100 * np.mean([gap.mean() for gap in gaps]))
    # The standard error of a weighted mean whose parts are independent.
    weights = np.concatenate([np.full(gap.size, 1 / gap.size / 2) for gap in gaps])
    residuals = np.concatenate([gap.ravel() for gap in gaps]) - found.difference / 100
    error = math.sqrt(440 / 439 * np.sum((weights * residuals) ** 2))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(found.difference / 100) / error, 439), rel=1e-6)


def test_a_question_that_two_benchmarks_share_counts_once() -> None:
    random = np.random.default_rng(7)
    first, second = random.random((1, 50)) < 0.7, random.random((1, 50)) < 0.4
    names = unrelated(50)[0]
    shared = compare(Answers([first, first]), Answers([second, second]), [names, names])
    apart = compare(Answers([first, first]), Answers([second, second]), unrelated(50, 50))
    alone = compare(Answers([first]), Answers([second]), [np.append(names[1:], names[1])])
    assert shared.clusters == 50
    assert shared.ci_high - shared.ci_low > 1.3 * (apart.ci_high - apart.ci_low)
    assert alone.test != EXACT, "a question that occurs twice is no unrelated one"


def test_runs_without_seeds_are_compared_with_every_seed() -> None:
    base = [True, False, False, True] * 5
    trained = [[True, True, False, True] * 5, [True, False, True, True] * 5, [True, True, True, True] * 5]
    found = compare(answers(trained), answers([base]), unrelated(20))
    assert found.seeds == 3
    assert found.difference == pytest.approx(100 * (np.mean(trained) - 0.5))


def test_several_responses_per_question_are_one_value_per_question() -> None:
    random = np.random.default_rng(2)
    first, second = (random.integers(0, 5, (1, 40)) / 4 for _ in range(2))
    found = compare(Answers([first]), Answers([second]), unrelated(40))
    gaps = (first - second)[0]
    assert found.test == "t, clustered by question"
    expected = stats.ttest_rel(first[0], second[0])
    assert found.p == pytest.approx(expected.pvalue)
    assert found.difference == pytest.approx(100 * gaps.mean())


def test_few_questions_of_a_large_benchmark_are_no_single_subject(demo: Settings) -> None:
    """The first 16 questions of MMLU, as a rehearsal asks, are of one subject; all 14,042 are of 57."""
    path = Layout(demo.results).benchmark("Toy-Sum")
    subjects = [f"subject {number // 16}" for number in range(200)]
    texts = [f"question {number}" for number in range(200)]
    write_parquet(path, pd.DataFrame({"id": texts, "question": texts, "domain": subjects}))
    questions = Questions(demo)
    assert set(questions.clusters("Toy-Sum", texts)) == set(subjects)
    assert set(questions.clusters("Toy-Sum", texts[:16])) == set(texts[:16])


def test_one_cluster_tells_nothing() -> None:
    found = compare(answers([[True, True]]), answers([[False, True]]), [np.array(["same", "same"])])
    assert (found.difference, found.p, found.clusters) == pytest.approx((50.0, 1.0, 1))
    assert math.isnan(found.ci_low)


def test_equal_answers_are_no_difference() -> None:
    same = answers([[True, False, True]], [[True, True]])
    found = compare(same, same, unrelated(3, 2))
    assert (found.difference, found.p) == (0.0, 1.0)
    assert math.isnan(found.ci_low)
    always = compare(answers([[True] * 9], [[True]]), answers([[False] * 9], [[False]]), unrelated(9, 1))
    assert (always.difference, always.p) == pytest.approx((100.0, 2 * 0.5**10))


@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_without_a_difference_few_tests_find_one(seeds: int) -> None:
    """Two methods that are equal on average: seeds move the accuracy by 3 points, questions differ in difficulty."""
    random = np.random.default_rng(seeds)
    wrong = 0
    trials = 400
    for _ in range(trials):
        difficulty = random.normal(size=150)
        runs = []
        for _ in range(2):
            ability = random.normal(scale=0.15 if seeds > 1 else 0.0, size=(seeds, 1))
            runs.append(random.random((seeds, 150)) < 1 / (1 + np.exp(difficulty + ability)))
        wrong += compare(Answers([runs[0]]), Answers([runs[1]]), unrelated(150)).p < 0.05
    assert wrong / trials < 0.08


def test_newcombes_interval_is_that_of_statsmodels() -> None:
    for ours, paper, questions in ((30, 25, 40), (944, 930, 1319), (3, 0, 40)):
        p, q = ours / questions, paper / questions
        found = interval_of_difference(p, wilson(p, questions), q, wilson(q, questions))
        expected = confint_proportions_2indep(ours, questions, paper, questions, method="newcomb", compare="diff")
        assert (found.low, found.high) == pytest.approx(expected)


def test_the_minimum_detectable_difference_of_the_papers_benchmarks() -> None:
    for questions, points in ((40, 19.8), (198, 8.9), (500, 5.6), (1319, 3.5), (14042, 1.1), (26529, 0.8)):
        assert 100 * minimum_detectable([questions]) == pytest.approx(points, abs=0.06)
    assert minimum_detectable([100, 100]) == pytest.approx(minimum_detectable([200]))


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(-1.9, 1.9, AGREES), (0.5, 1.5, AGREES), (0.5, 2.5, DIFFERS), (-9, -3, DIFFERS), (-3, 1, CANNOT_TELL)],
)
def test_verdicts_about_the_papers_values(low: float, high: float, said: str) -> None:
    assert verdict(Interval(low, high), 2.0) == said


def marks(numbers: dict[str, int], differ: dict[frozenset[str], bool], baseline: str | None = None) -> str:
    gaps = {pair: Gap(differs, 0.0, None) for pair, differs in differ.items()}
    entries = {run: Entry(str(number), str(number), number=number) for run, number in numbers.items()}  # type: ignore
    marked = mark(entries, gaps, baseline).values()
    return " ".join("best" if entry.best else "tied" if entry.tied else "-" for entry in marked)


def test_bold_is_only_what_is_told_apart_from_all_others() -> None:
    numbers = {"A": 10, "B": 30, "C": 28}
    pairs = {frozenset(pair): True for pair in (("A", "B"), ("A", "C"), ("B", "C"))}
    assert marks(numbers, pairs) == "- best -"
    assert marks(numbers, pairs | {frozenset("BC"): False}) == "- tied tied"
    assert marks(numbers, {}) == "- - -"
    against = {frozenset("AB"): True, frozenset("AC"): False}
    assert marks(numbers, against, "A") == "- best tied"
    assert marks({"A": 40, "B": 30, "C": 28}, against, "A") == "- - tied"


@pytest.fixture
def demo(tmp_path: Path) -> Settings:
    """The demo's settings with made-up grades of Table 1 and 2: GeneralThinker is right more often than the others."""
    settings = load([Path("config/demo.yaml")]).model_copy(update={"results": str(tmp_path), "seeds": [1, 2, 3]})
    layout = Layout(settings.results)
    random = np.random.default_rng(0)
    for name in settings.benchmarks:
        ids = [f"{name}-{number}" for number in range(100)]
        write_json(layout.benchmark_manifest(slug(name)), {"rows_written": 100, "sha256": "0"})
        frame = pd.DataFrame({"id": ids, "question": ids, "domain": name})
        write_parquet(layout.benchmark(slug(name)), frame)
    pairs = {
        pair
        for table in ("table1", "table2")
        for row in tables.rows(settings, table).values()
        for pair in cells.evaluations(settings, row)
    }
    for run, suite in sorted(pairs, key=str):
        share = {"Base": 0.2, "GeneralThinker": 0.9}.get(run.method, 0.5)
        parts = [
            pd.DataFrame(
                {
                    "benchmark": name,
                    "id": [f"{name}-{number}" for number in range(100)],
                    "correct": random.random(100) < share,
                    "extracted": None,
                    "reason": "equal",
                    "truncated": False,
                    "tokens": 1,
                }
            )
            for name in settings.suite_benchmarks(suite)
        ]
        write_parquet(layout.grades(run.name, suite), pd.concat(parts, ignore_index=True), {"generation": {}})
    return settings


def test_a_table_of_differences_agrees_with_raw_grades(demo: Settings, tmp_path: Path) -> None:
    frame = differences(demo, "table1")
    names = {"Toy-Sum", "Average"}
    assert len(frame) == 6 * 10, "six pairs in each of eight benchmarks and two averages"
    assert set(frame["row"]) >= names
    line = frame.set_index(["row", "run", "compared_with"]).loc[("Toy-Sum", "GeneralThinker", "Likelihood-RL")]
    layout = Layout(demo.results)

    def accuracy(method: str) -> float:
        runs = demo.runs(RunChoice(model="small", method=method))
        files = [Path(layout.grades(run.name, "toys")) for run in runs]
        graded = pd.concat([pd.read_parquet(file) for file in files])
        return 100 * graded[graded["benchmark"] == "Toy-Sum"]["correct"].mean()

    gap = accuracy("GeneralThinker") - accuracy("Likelihood-RL")
    assert line["difference"] == pytest.approx(gap)
    assert line["verdict"] == "higher"
    assert (line["questions"], line["seeds"]) == (100, 3)
    for _, family in frame.groupby(["group", "row"], sort=False):
        ordered = family.sort_values("p")
        holm = np.minimum(1, np.maximum.accumulate(ordered["p"].to_numpy() * np.arange(len(ordered), 0, -1)))
        assert ordered["p_holm"].to_numpy() == pytest.approx(holm)
        assert ((family["p_holm"] < 0.05) == family["verdict"].isin(("higher", "lower"))).all()
    files = [tmp_path / "d.csv", tmp_path / "d.md"]
    write_differences(demo, "table1", *files)
    differ = read_differing(files[0])
    assert differ[("Toy arithmetic", "Toy-Sum")][frozenset(("GeneralThinker", "Base"))].differs
    first = [file.read_bytes() for file in files]
    write_differences(demo, "table1", *files)
    assert first == [file.read_bytes() for file in files]


def test_runs_are_the_same_only_where_the_interval_is_within_the_margin(demo: Settings) -> None:
    def verdicts(margin: float) -> pd.DataFrame:
        return differences(demo.model_copy(update={"equivalence_margin": margin}), "table2")

    narrow, wide = verdicts(0.01), verdicts(50.0)
    assert "same" not in set(narrow["verdict"])
    undecided = narrow["verdict"] == "cannot tell"
    assert undecided.any()
    assert (wide.loc[undecided, "verdict"] == "same").all()
    assert (wide.loc[~undecided, "verdict"] == narrow.loc[~undecided, "verdict"]).all()


def test_a_baseline_is_compared_with_every_other_run(demo: Settings) -> None:
    spec = demo.tables["table2"]
    assert isinstance(spec, AverageTable)
    changed = spec.model_copy(update={"baseline": "Likelihood-RL"})
    settings = demo.model_copy(update={"tables": {"table2": changed}})
    assert [family.label for family in families(settings, "table2")] == ["Toy arithmetic", "Toy general"]
    frame = differences(settings, "table2")
    assert set(frame["compared_with"]) == {"Likelihood-RL"}
    assert len(frame) == 2 * 4
    with pytest.raises(ValueError, match="baseline = 'Best': no run of this table"):
        AverageTable.model_validate({**spec.model_dump(), "baseline": "Best"})


def test_tables_without_accuracies_compare_nothing(demo: Settings, tmp_path: Path) -> None:
    assert families(demo, "table3") == families(demo, "table7") == []
    write_differences(demo, "table3", tmp_path / "d.csv", tmp_path / "d.md")
    assert "compares no runs" in (tmp_path / "d.md").read_text()


def test_missing_questions_are_named(demo: Settings) -> None:
    path = Path(Layout(demo.results).benchmark("Toy-Sum"))
    path.unlink()
    with pytest.raises(IncompleteResultsError, match=f"{path}: no such file; run `snakemake"):
        differences(demo, "table1")


def test_reproduced_values_are_compared_with_the_papers(demo: Settings, tmp_path: Path) -> None:
    reported = tmp_path / "paper.csv"
    reported.write_text(
        "table,group,row,column,accuracy_percent\n"
        "table1,Toy arithmetic,Toy-Sum,Base,20.5\n"
        "table1,Toy arithmetic,Toy-Sum,GeneralThinker,30\n"
        "table1,Toy arithmetic,Average,Base,21\n"
    )
    settings = demo.model_copy(update={"reported_values": str(reported)})
    for key in tables.rows(settings, "table1"):
        write_row(settings, "table1", key, Path(Layout(settings.results).row("table1", key)))
    found = {(cell.row, cell.column): cell for cell in compared(settings, "table1")}
    assert found[("Toy-Sum", "GeneralThinker")].verdict == DIFFERS
    assert found[("Toy-Sum", "Base")].verdict == CANNOT_TELL
    average = found[("Average", "Base")]
    assert average.ci_high - average.ci_low < found[("Toy-Sum", "Base")].ci_high - found[("Toy-Sum", "Base")].ci_low
    files = [tmp_path / f"c.{suffix}" for suffix in ("csv", "md", "png", "pdf")]
    write_comparison(settings, "table1", *files)
    assert "1 × differs, 2 × cannot tell" in files[1].read_text()
    first = [file.read_bytes() for file in files]
    write_comparison(settings, "table1", *files)
    assert first == [file.read_bytes() for file in files]
    assert first[2].startswith(b"\x89PNG")


def test_findings_sort_the_comparisons_of_averages(demo: Settings) -> None:
    assert findings(demo) == []
    layout = Layout(demo.results)
    for table in ("table1", "table2"):
        write_differences(demo, table, *(Path(layout.differences(table, suffix)) for suffix in ("csv", "md")))
    first, second = findings(demo)
    assert (first.table, second.table) == ("table1", "table2")
    assert sum(map(len, first.averages.values())) == 2 * 6, "six pairs in each of two averages"
    assert sum(map(len, second.averages.values())) == 2 * 10
    assert first.benchmarks.startswith("48 comparisons on single benchmarks: ")
    assert second.benchmarks == ""
    [sentence] = [line for line in first.averages["different"] if line.startswith("GeneralThinker − Base, Toy general")]
    assert re.search(r"Average: \+\d+\.\d\d \(\+\d+\.\d\d … \+\d+\.\d\d\)$", sentence)


def test_a_difference_that_rounds_to_zero_is_not_negative() -> None:
    assert signed_interval(-0.004, 1.5) == "+0.00 … +1.50"
