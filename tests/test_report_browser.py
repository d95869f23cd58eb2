"""The report in a real browser, from file://: it shows the paper's tables and figures, and can be printed."""

from pathlib import Path

import pandas as pd
import pytest

from evaluated import evaluate, small_settings
from generalthinker.answers import CORRECT, REASONS
from generalthinker.code_versions import code_of_generation, code_of_run
from generalthinker.config import Settings, load
from generalthinker.files import write_json, write_parquet
from generalthinker.paths import Layout
from generalthinker.records import sample_id, slug
from generalthinker.reporting.cells import all_evaluations, all_runs, figure_needs
from generalthinker.reporting.composition import write_composition
from generalthinker.reporting.differences import write_differences
from generalthinker.reporting.figures import write_figure
from generalthinker.reporting.report import write_report
from generalthinker.reporting.responses import write_responses
from generalthinker.reporting.rows import write_row
from generalthinker.reporting.tables import rows

pytestmark = pytest.mark.browser
QUESTIONS = 6
A4 = {"width": 718, "height": 1047}  # CSS pixels between margins of 1 cm
SECTIONS = ["Findings", "Tables", "Figures", "Evaluation health", "Training questions", "What ran"]


@pytest.fixture(scope="module")
def paper(tmp_path_factory) -> Settings:
    """The paper's experiment with made-up results, finished up to the report."""
    settings = load([Path("config/config.yaml")])
    settings = settings.model_copy(update={"results": str(tmp_path_factory.mktemp("report"))})
    layout = Layout(settings.results)
    write_questions_and_grades(settings)
    for run in all_runs(settings):
        hardware = {"gpus": ["NVIDIA A100-SXM4-80GB"] * 4, "processor": "AMD EPYC 7763 64-Core Processor", "cores": 128}
        record = {"steps": 1325, "training_seconds": 1e5, "hardware": hardware, "commit": "0123456789abcdef" * 2}
        code = code_of_run(settings.method(run)) if run.seed is not None else {}
        write_json(layout.run_record(run.name), record | {"code": code, "versions": {"torch": "2.13.0+cu130"}})
    for name in settings.tables:
        for row in rows(settings, name):
            write_row(settings, name, row, Path(layout.row(name, row)))
    write_differences(settings, "table2", *(Path(layout.differences("table2", suffix)) for suffix in ("csv", "md")))
    for name in settings.figures:
        for run in figure_needs(settings, name).histories:
            history = {"step": range(1, 31), "kl": [0.01 * step for step in range(30)], "entropy": 0.5, "reward": -1.5}
            write_parquet(layout.history(run.name), pd.DataFrame(history))
        write_figure(settings, name, *(Path(layout.display(name, suffix)) for suffix in ("png", "pdf")))
    kinds = [("math", "algebra"), ("mcq", "law"), ("mcq", "physics")] * 20
    questions = pd.DataFrame(kinds, columns=["answer_type", "domain"])
    questions = questions.assign(split="train", source="nvidia/some-questions", prompt_tokens=range(60, 120))
    composition = [Path(layout.display("composition", suffix)) for suffix in ("csv", "md", "png", "pdf")]
    write_composition(questions, *composition)
    write_report(settings, Path(layout.report))
    return settings


def write_questions_and_grades(settings: Settings) -> None:
    """Write a few questions per benchmark, and verdicts with every reason, which make the widest tables."""
    layout = Layout(settings.results)
    for name in settings.benchmarks:
        ids = [f"{name}-{number}" for number in range(QUESTIONS)]
        frame = pd.DataFrame({"id": ids, "question": ids, "domain": name})
        write_parquet(layout.benchmark(slug(name)), frame)
        manifest = {"dataset": settings.benchmarks[name].dataset, "rows_written": QUESTIONS, "sha256": "f" * 64}
        write_json(layout.benchmark_manifest(slug(name)), manifest)
    for place, (run, suite) in enumerate(all_evaluations(settings)):
        given = []
        for name in settings.suite_benchmarks(suite):
            samples = settings.benchmarks[name].samples
            for number in range(QUESTIONS):
                id = f"{name}-{number}"
                ids = [sample_id(id, sample) for sample in range(1, samples + 1)] if samples else [id]
                given += [(name, one) for one in ids]
        reasons = [[*REASONS][(place + number) % len(REASONS)] for number in range(len(given))]
        grades = pd.DataFrame(given, columns=["benchmark", "id"]).assign(
            reason=reasons, correct=[reason in CORRECT for reason in reasons], truncated=False, tokens=1234
        )
        generation = {"engine_version": "vllm 0.31.0", "dtype": "bfloat16", "seed": 0, "code": code_of_generation()}
        write_parquet(layout.grades(run.name, slug(suite)), grades, {"generation": generation})


@pytest.fixture
def opened(page, paper):
    """The opened report."""
    page.goto(Path(Layout(paper.results).report).as_uri())
    return page


def test_it_shows_findings_first_and_every_table_and_figure(opened, paper):
    assert opened.title() == f"{paper.name}: results"
    assert opened.locator("h2").all_text_contents()[: len(SECTIONS)] == SECTIONS
    assert opened.locator("#findings ~ details summary").first.is_visible()
    for name in paper.tables:
        heading = opened.locator(f"h3#{name}")
        assert heading.is_visible()
        table = heading.locator("xpath=following-sibling::div[1]/table")
        assert table.is_visible()
        lines = table.locator("tbody tr:not(.group)").count()
        assert lines == len(rows(paper, name)) or (lines > 0 and not rows(paper, name)), name
    assert opened.locator("img").count() == len(paper.figures) + 1
    for image in opened.locator("img").all():
        assert image.is_visible()
        assert image.evaluate("image => image.complete && image.naturalWidth") > 500
    assert opened.locator("#figures ~ figure .missing").count() == 0


def test_every_link_leads_somewhere(opened):
    links = opened.locator("a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert len(links) > len(SECTIONS)
    for link in links:
        assert link.startswith("#"), "no other page is there"
        assert opened.locator(link).count() == 1


@pytest.mark.parametrize("width", [390, 1400])
def test_wide_tables_scroll_and_the_page_does_not(opened, width):
    opened.set_viewport_size({"width": width, "height": 900})
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_no_table_is_cut_off_on_paper(opened):
    opened.set_viewport_size(A4)
    opened.emulate_media(media="print")
    opened.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    ends = opened.locator("table, img").evaluate_all(
        "all => all.map(one => [one.getBoundingClientRect().right, one.innerText || one.alt])"
    )
    assert len(ends) > 10
    assert [(end, text[:80]) for end, text in ends if end > A4["width"]] == []
    assert opened.pdf(format="A4").startswith(b"%PDF")


def test_the_response_browser_is_linked_once_it_is_written(page, tmp_path):
    settings = small_settings(tmp_path)
    layout = evaluate(settings)
    write_report(settings, Path(layout.report))
    page.goto(Path(layout.report).as_uri())
    link = page.get_by_text("The response browser", exact=True)
    assert link.count() == 0
    write_responses(settings)
    write_report(settings, Path(layout.report))
    page.reload()
    link.click()
    page.wait_for_selector("#rows tr")
    assert page.title() == "toy & small: Responses"
