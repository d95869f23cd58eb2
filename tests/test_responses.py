"""The response browser's pages: what they hold, compared with what the real grader wrote, and how large they are."""

import base64
import itertools
import json
import re
import shutil
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from evaluated import LATEX, LONG, NASTY, RESPONSES, evaluate, small_settings
from generalthinker.cli import app
from generalthinker.config import Settings, load
from generalthinker.config.load import freeze
from generalthinker.files import write_parquet
from generalthinker.paths import Layout
from generalthinker.reporting import responses
from generalthinker.reporting.agreement import Comparison, agreement, comparisons, possible_agreements
from generalthinker.reporting.graded import GradedBenchmark, Verdicts
from generalthinker.reporting.measure import IncompleteResultsError
from generalthinker.reporting.pages import packed
from generalthinker.reporting.response_data import page_data, sample, subset
from generalthinker.reporting.responses import NoResponseError, Selection, write_responses, write_selection

RUNS = {
    "Base": "small/Base",
    "RL": "small/RL_seed-1",
    "GT": "small/GT_strength-0.1_clip-2.0_seed-1",
    "GT-L": "large/GT_strength-0.1_clip-2.0_seed-1",
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return small_settings(tmp_path)


@pytest.fixture
def layout(settings: Settings) -> Layout:
    return evaluate(settings)


def unpacked(path: str | Path) -> dict[str, Any]:
    """Return the data in a page, as a browser unpacks them."""
    [text] = re.findall(r'<script type="text/plain" id="data">([^<]*)</script>', Path(path).read_text())
    return json.loads(zlib.decompress(base64.b64decode(text, validate=True)))


def reread(data: dict[str, Any]) -> dict[str, Any]:
    """Return data as a page's script gets them."""
    return json.loads(json.dumps(data))


def lines(data: dict[str, Any]) -> pd.DataFrame:
    """Return a page's data as one line per response."""
    found = []
    for benchmark in data["benchmarks"]:
        for place, run in enumerate(data["runs"]):
            verdicts = [data["kinds"][kind] for kind in benchmark["verdicts"][str(place)]]
            for number, (id, kind) in enumerate(zip(benchmark["ids"], verdicts, strict=True)):
                texts = benchmark.get("texts", {}).get(str(place))
                extracted = benchmark["extracted"][str(place)][number]
                line = (run, benchmark["name"], id, kind["right"], kind["reason"], extracted)
                found.append((*line, texts[number] if texts else None))
    return pd.DataFrame(found, columns=["run", "benchmark", "id", "correct", "reason", "extracted", "response"])


def agreed(data: dict[str, Any], comparison: int) -> dict[tuple[str, str], str]:
    """Return (benchmark, id) → which runs of a comparison are right, as the page says it."""
    kinds = data["comparisons"][comparison]["kinds"]
    return {
        (benchmark["name"], id): kinds[kind]
        for benchmark in data["benchmarks"]
        for id, kind in zip(benchmark["ids"], benchmark["agreement"][str(comparison)], strict=True)
    }


def all_grades(layout: Layout) -> pd.DataFrame:
    return pd.concat(pd.read_parquet(layout.grades(run, "all")).assign(run=run) for run in RUNS.values())


def test_the_index_has_every_verdict_of_the_grades(settings: Settings, layout: Layout) -> None:
    write_responses(settings)
    shown = lines(unpacked(layout.responses)).set_index(["run", "benchmark", "id"]).sort_index()
    graded = all_grades(layout).set_index(["run", "benchmark", "id"]).sort_index()
    assert len(shown) == 4 * 8
    assert shown.index.equals(graded.index)
    assert (shown["correct"] == graded["correct"]).all()
    assert (shown["reason"] == graded["reason"]).all()
    assert graded["reason"].nunique() >= 8
    for short, whole in zip(shown["extracted"], graded["extracted"], strict=True):
        if pd.isna(whole):
            assert pd.isna(short)
        else:
            assert short == whole or (
                len(short) <= 40 and short.endswith("…") and " ".join(whole.split())[:20] in short
            )
    assert unpacked(layout.responses)["benchmarks"][0]["sampled"] == [0, 1, 2, 3, 4]


def test_agreement_is_that_of_an_independent_computation(settings: Settings, layout: Layout) -> None:
    """Counts and names of right runs by a pivot table, without the package's own words."""
    write_responses(settings)
    data = unpacked(layout.responses)
    right = all_grades(layout).pivot_table(index=["benchmark", "id"], columns="run", values="correct", aggfunc="all")
    compared = [
        ("Table 1, Table 2: Main", {label: RUNS[label] for label in ("Base", "RL", "GT")}),
        ("Table 4: Sizes", {"GT-S": RUNS["GT"], "GT-L": RUNS["GT-L"]}),
        ("All runs", {label: RUNS[label] for label in ("Base", "RL", "GT", "GT-L")}),
    ]
    assert [(one["title"], one["labels"]) for one in data["comparisons"]] == [(t, [*runs]) for t, runs in compared]
    words = set()
    for place, (_, runs) in enumerate(compared):
        for question, shown in agreed(data, place).items():
            who = {label for label, run in runs.items() if right.loc[question, run]}
            words.add(shown)
            if shown == "all":
                assert who == set(runs)
            elif shown == "none":
                assert who == set()
            elif shown.startswith("only "):
                assert who == {shown.removeprefix("only ")}
            elif shown.startswith("all but "):
                assert set(runs) - who == {shown.removeprefix("all but ")}
            else:
                assert shown == f"{len(who)} of {len(runs)}"
                assert 1 < len(who) < len(runs) - 1
    assert {"all", "only GT", "only RL", "all but RL", "2 of 4", "only GT-S"} <= words


@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_every_pattern_has_one_of_the_possible_agreements(right: list[bool]) -> None:
    labels = [f"run {number}" for number in range(len(right))]
    words = agreement(labels, right)
    assert words in possible_agreements(labels)
    assert (words == "all") == all(right)
    assert (words == "none") == (not any(right))
    others = itertools.product([True, False], repeat=len(right))
    same = [other for other in others if agreement(labels, other) == words]
    assert {sum(other) for other in same} == {sum(right)}, "the words tell how many are right"
    if sum(right) in (0, 1, len(right) - 1, len(right)):
        assert len(same) == 1, "and which, where one differs from all others"


def test_runs_of_several_seeds_are_compared_with_their_seeds(settings: Settings) -> None:
    [first, *_] = comparisons(settings.model_copy(update={"seeds": [1, 2]}))
    assert [*first.runs] == ["Base", "RL, seed 1", "RL, seed 2", "GT, seed 1", "GT, seed 2"]


def test_the_papers_comparisons_are_its_tables() -> None:
    paper = comparisons(load([Path(__file__).parents[1] / "config" / "config.yaml"]))
    assert [one.tables for one in paper] == [("table1",), ("table2", "table5"), ("table4",), ("table6",), ()]
    assert [*paper[-1].runs][:4] == ["Base", "Binary-RL", "Likelihood-RL", "GeneralThinker"]
    assert len(paper[-1].runs) == len(set(paper[-1].runs.values())) == 14


class Tags(HTMLParser):
    """Collects the tags of a page and what they load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loaded += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]


def test_no_text_can_break_a_page_or_load_anything(settings: Settings, layout: Layout) -> None:
    pages = write_responses(settings)
    run = settings.run(RUNS["GT"])
    pages += write_selection(settings, Selection(run, "Choice"))
    for path in pages:
        page = path.read_text()
        assert not re.search(r"https?://|//[a-z]+\.", page), "an address of another machine"
        parser = Tags()
        parser.feed(page)
        assert parser.tags.count("script") == 2
        assert "img" not in parser.tags
        assert "link" not in parser.tags
        assert all(re.fullmatch(r"(\.\./)*responses\.html|page-\d\.html", target) for target in parser.loaded)
    texts = lines(unpacked(layout.response_texts("Choice"))).set_index(["run", "id"])
    assert texts.loc[(RUNS["RL"], "c/1"), "response"] == RESPONSES["RL"][0]
    assert texts.loc[(RUNS["GT"], "c'3"), "response"] == rf"{LONG} \boxed{{A}}"
    assert unpacked(layout.response_texts("Choice"))["benchmarks"][0]["questions"][1] == f"Which? {NASTY}"
    numbers = unpacked(layout.response_texts("Numbers-co"))["benchmarks"][0]
    assert numbers["questions"][0] == f"How many? {LATEX}"
    index = unpacked(layout.responses)["benchmarks"][0]
    assert max(map(len, index["questions"])) == 100
    assert len(Path(layout.responses).read_text()) < 40_000, "long responses are not in the index"


def test_the_texts_are_those_of_the_responses_with_their_tokens(settings: Settings, layout: Layout) -> None:
    write_responses(settings)
    for name in ("Choice", "Numbers-co"):
        data = unpacked(layout.response_texts(name))
        [benchmark] = data["benchmarks"]
        for place, run in enumerate(data["runs"]):
            written = pd.read_parquet(layout.generations(run, "all")).query("benchmark == @benchmark['name']")
            assert benchmark["texts"][str(place)] == list(written["response"])
            assert benchmark["tokens"][str(place)] == list(written["tokens"])


def test_pages_are_the_same_bytes_every_time(settings: Settings, layout: Layout) -> None:
    selection = Selection(settings.run(RUNS["RL"]), "Choice", others=True)
    first = {path: path.read_bytes() for path in [*write_responses(settings), *write_selection(settings, selection)]}
    second = {path: path.read_bytes() for path in [*write_responses(settings), *write_selection(settings, selection)]}
    assert first == second


def test_what_is_not_graded_is_named_and_the_rest_is_compared(settings: Settings, layout: Layout) -> None:
    left_out = layout.grades(RUNS["GT"], "all")
    Path(left_out).unlink()
    write_responses(settings)
    assert f"NOT GRADED YET, and left out of every comparison: {left_out}." in Path(layout.responses).read_text()
    data = unpacked(layout.responses)
    assert [one["labels"] for one in data["comparisons"]] == [["Base", "RL"], ["GT-L"], ["Base", "RL", "GT-L"]]
    assert agreed(data, 0)["Choice", "c/1"] == "only RL"
    for run in RUNS.values():
        Path(layout.grades(run, "all")).unlink(missing_ok=True)
    assert write_responses(settings) == [Path(layout.responses)]
    assert unpacked(layout.responses)["comparisons"] == []


def test_a_run_that_is_graded_on_one_benchmark_is_compared_there_alone(settings: Settings, layout: Layout) -> None:
    suites = {"first": ["Choice"], "second": ["Numbers & co"]}
    evaluation = settings.evaluation.model_copy(update={"suites": suites})
    for (suite, [name]), run in itertools.product(suites.items(), RUNS.values()):
        for path in (layout.grades, layout.generations):
            frame = pd.read_parquet(path(run, "all"))
            write_parquet(path(run, suite), frame[frame["benchmark"] == name])
    Path(layout.grades(RUNS["RL"], "second")).unlink()
    write_responses(settings.model_copy(update={"evaluation": evaluation}))
    data = unpacked(layout.responses)
    assert data["comparisons"][0]["labels"] == ["Base", "RL", "GT"]
    words = agreed(data, 0)
    assert (words["Choice", "c/1"], words["Numbers & co", "n1"]) == ("all but Base", "only GT")
    assert words["Numbers & co", "n2"] == "all", "of those that are graded"


def test_grades_and_responses_of_other_questions_are_an_error(settings: Settings, layout: Layout) -> None:
    path = layout.generations(RUNS["RL"], "all")
    frame = pd.read_parquet(path)
    write_parquet(path, frame[frame["id"] != "c4"])
    with pytest.raises(IncompleteResultsError, match=r"Choice: the responses to 1 graded questions are missing, c4"):
        write_responses(settings)
    path = layout.grades(RUNS["RL"], "all")
    write_parquet(path, pd.read_parquet(path).replace("c4", "c9"))
    with pytest.raises(IncompleteResultsError, match=r"Choice: 5 questions are graded, expected the 5 of .*same ids"):
        write_responses(settings)


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ({}, ["c/1", "c 2", "c'3", "c4", "c5"]),
        ({"verdict": "right"}, ["c/1", "c'3"]),
        ({"verdict": "wrong", "reasons": ["not_an_option", "no_box"]}, ["c 2", "c4"]),
        ({"agreement": "only GT-L", "compare": "table4"}, ["c4"]),
        ({"agreement": "none"}, ["c4"]),
        ({"ids": ["c5", "c 2"]}, ["c 2", "c5"]),
    ],
)
def test_one_runs_responses_are_selected(settings: Settings, layout: Layout, asked: dict, ids: list[str]) -> None:
    selection = Selection(settings.run(RUNS["GT"]), "Choice", **asked)
    [path] = write_selection(settings, selection)
    data = unpacked(path)
    assert data["benchmarks"][0]["ids"] == ids
    assert data["runs"][data["focus"]] == RUNS["GT"]
    assert [*data["benchmarks"][0]["texts"]] == [str(data["focus"])], "the texts of this run alone"
    assert len(lines(data)) == 4 * len(ids), "the verdicts on the other runs' answers to the same questions"


def test_many_responses_are_several_pages_and_old_ones_go(settings: Settings, layout: Layout, monkeypatch) -> None:
    monkeypatch.setattr(responses, "RESPONSES_PER_PAGE", 2)
    monkeypatch.setattr(responses, "FEWEST_QUESTIONS", 1)
    run = settings.run(RUNS["GT"])
    pages = write_selection(settings, Selection(run, "Choice"))
    assert [len(unpacked(page)["benchmarks"][0]["ids"]) for page in pages] == [2, 2, 1]
    assert [page.name for page in pages] == ["page-1.html", "page-2.html", "page-3.html"]
    assert "<strong>2</strong>" in pages[1].read_text()
    [only] = write_selection(settings, Selection(run, "Choice", reasons=["letter"]))
    assert [path.name for path in only.parent.iterdir()] == ["page-1.html"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"reasons": ["timeout"]}, r"--reason timeout: none of 5 .*; there are: letter, not_an_option, unbalanced_box"),
        ({"verdict": "right", "reasons": ["no_box"]}, r"--reason no_box: none of 2 responses of small/GT.* to Choice"),
        (
            {"agreement": "only Binary"},
            r"--agreement only Binary: none of .*there are: all but Base, none, only Base, only RL$",
        ),
        ({"agreement": "all", "compare": "table9"}, r"--compare table9: it does not show .*do: table1, table2, table4"),
        ({"ids": ["c9"]}, r"--id c9: none of 5 responses"),
    ],
)
def test_a_selection_of_nothing_says_what_there_is(settings, layout, asked: dict, message: str) -> None:
    with pytest.raises(NoResponseError, match=message):
        write_selection(settings, Selection(settings.run(RUNS["GT"]), "Choice", **asked))


def test_a_run_that_is_not_graded_says_what_to_run(settings: Settings, layout: Layout) -> None:
    path = layout.grades(RUNS["GT"], "all")
    Path(path).unlink()
    with pytest.raises(IncompleteResultsError, match=f"no such file; run `snakemake {path}` first"):
        write_selection(settings, Selection(settings.run(RUNS["GT"]), "Choice"))


def test_the_responses_of_a_run_that_no_table_shows_can_be_read(settings: Settings, layout: Layout) -> None:
    other = settings.run("small/GT_strength-0.3_clip-2.0_seed-7")
    for path in (layout.grades, layout.generations):
        shutil.copytree(Path(path(RUNS["GT"], "all")).parent, Path(path(other.name, "all")).parent)
    [page] = write_selection(settings, Selection(other, "Choice", verdict="right"))
    data = unpacked(page)
    assert data["comparisons"][-1]["labels"] == [other.name]
    assert len(data["runs"]) == 5
    assert [*lines(data).query("run == @other.name")["response"]] == [RESPONSES["GT"][0], RESPONSES["GT"][2]]


def invented(rows: int, runs: int) -> GradedBenchmark:
    """Return a benchmark with verdicts as models give them: mostly letters, a fifth of the answers not an option."""
    reasons = ["letter", "different", "letter", "not_an_option", "different", "no_box"]
    extracted = ["B", "C", "D", "a text of some thirty characters", "A", None]
    columns = {
        f"small/RL_seed-{run}": Verdicts(
            [reasons[(7 * row + row // (run + 1)) % 6] == "letter" for row in range(rows)],
            [reasons[(7 * row + row // (run + 1)) % 6] for row in range(rows)],
            [extracted[(7 * row + row // (run + 1)) % 6] for row in range(rows)],
        )
        for run in range(runs)
    }
    ids = [f"{row * 2654435761 % 2**128:032x}" for row in range(rows)]
    questions = [f"Question {row * 48271 % 65537} asks for {row * 16807 % 8191}" + "?" * 80 for row in range(rows)]
    return GradedBenchmark("Large", ids, questions, ["C. a text"] * rows, columns)


def test_the_index_of_the_largest_benchmark_is_small() -> None:
    """SuperGPQA has 26,529 questions; the paper's experiment evaluates 14 runs on it."""
    benchmark = invented(26_529, 14)
    compared = [Comparison("All runs", (), {run: run for run in benchmark.verdicts})]
    data = page_data([benchmark], compared, sampled={"Large": []})
    assert len(packed(data)) < 5_000_000
    one = GradedBenchmark("Large", benchmark.ids, benchmark.questions, benchmark.answers, {})
    one.verdicts["small/RL_seed-0"] = benchmark.verdicts["small/RL_seed-0"]
    assert len(packed(page_data([one], [], sampled={}))) < 2_000_000


def test_an_index_that_would_be_too_large_holds_examples_and_says_so(settings, layout, monkeypatch) -> None:
    monkeypatch.setattr(responses, "VERDICTS_IN_INDEX", 16)
    monkeypatch.setattr(responses, "FEWEST_QUESTIONS", 1)
    monkeypatch.setattr(responses, "RESPONSES_PER_PAGE", 4)
    write_responses(settings)
    data = unpacked(layout.responses)
    assert [len(benchmark["ids"]) for benchmark in data["benchmarks"]] == [2, 1]
    assert "12 verdicts on 3 questions of 8, examples of every reason" in Path(layout.responses).read_text()
    [shown] = unpacked(layout.response_texts("Choice"))["benchmarks"]
    assert len(shown["ids"]) == 1
    [place] = data["benchmarks"][0]["sampled"]
    assert data["benchmarks"][0]["ids"][place] == shown["ids"][0], "the index links to the question that has its texts"


@pytest.mark.parametrize("count", [1, 30, 200, 599, 600, 900])
def test_examples_cover_every_reason_of_every_run_and_every_agreement(count: int) -> None:
    benchmark = invented(600, 3)
    compared = [Comparison("All runs", (), {run[-1]: run for run in benchmark.verdicts})]
    places = sample(benchmark, compared, count)
    assert places == sorted(set(places))
    assert len(places) == min(count, 600)
    assert set(places) <= set(sample(benchmark, compared, count + 7)), "more examples keep those there are"
    if count >= 30:
        shown = subset(benchmark, places)
        for run, given in benchmark.verdicts.items():
            assert set(shown.verdicts[run].reasons) == set(given.reasons)
        some, whole = (agreed(reread(page_data([one], compared)), 0) for one in (shown, benchmark))
        assert set(some.values()) == set(whole.values())
    backwards = subset(benchmark, range(599, -1, -1))
    same = {backwards.ids[place] for place in sample(backwards, compared, count)}
    assert same == {benchmark.ids[place] for place in places}, "the order of the file does not matter"


def test_the_command_writes_the_index_or_what_is_asked_for(settings: Settings, layout: Layout) -> None:
    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["responses", *arguments, "--settings", str(freeze(settings))])

    assert call().stdout == f"{layout.responses}\n"
    asked = call(RUNS["RL"], "Numbers-co", "--reason", "different", "--verdict", "wrong", "--others")
    page = Path(layout.selected_responses(RUNS["RL"], "Numbers-co"), "page-1.html")
    assert asked.stdout == f"{page}\n"
    [shown] = unpacked(page)["benchmarks"]
    assert (shown["ids"], len(shown["texts"])) == (["n1", "n2"], 4)
    assert "unknown benchmark ''; this configuration has: Choice" in str(call(RUNS["RL"]).exception)
    assert "expected model/method" in str(call("small/Other", "Choice").exception)
