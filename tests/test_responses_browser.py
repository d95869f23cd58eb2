"""The response browser in a real browser, from file://: what is shown equals the grades, and nothing else is loaded."""

from pathlib import Path

import pandas as pd
import pytest

from evaluated import LATEX, LONG, NASTY, RESPONSES, evaluate, small_settings
from generalthinker.paths import Layout
from generalthinker.reporting.responses import Selection, write_responses, write_selection

pytestmark = pytest.mark.browser
COMPARED = {"Base": "small/Base", "RL": "small/RL_seed-1", "GT": "small/GT_strength-0.1_clip-2.0_seed-1"}


@pytest.fixture(scope="module")
def layout(tmp_path_factory) -> Layout:
    settings = small_settings(tmp_path_factory.mktemp("browser"))
    written = evaluate(settings)
    write_responses(settings)
    write_selection(settings, Selection(settings.run(COMPARED["GT"]), "Choice", verdict="wrong"))
    return written


@pytest.fixture
def index(page, layout):
    """The opened index."""
    page.goto(Path(layout.responses).as_uri())
    page.wait_for_selector("#rows tr")
    return page


def shown(opened) -> list[str]:
    """Return "benchmark id" of the questions in the list."""
    return opened.locator("#rows a").all_text_contents()


def pane(opened, name: str) -> dict[str, int]:
    """Return value → number in a pane."""
    buttons = opened.locator(f"#pane-{name} button").all()
    texts = [button.locator("span").all_text_contents() for button in buttons]
    return {value: int(number.replace(",", "")) for value, number in texts}


def choose(opened, name: str, value: str) -> None:
    opened.locator(f"#pane-{name} button").get_by_text(value, exact=True).click()


def verdicts(layout: Layout) -> pd.DataFrame:
    """Return the grades of the compared runs, one line per response."""
    return pd.concat(pd.read_parquet(layout.grades(run, "all")).assign(run=label) for label, run in COMPARED.items())


def test_the_index_opens_with_every_question_and_every_verdict(index, layout):
    assert index.title() == "toy & small: Responses"
    assert len(shown(index)) == 8
    cells = index.locator("#rows tr").first.locator("td").all_text_contents()
    assert cells[0].startswith("Choice c/1")
    assert cells[1:] == ["B. two", "all but Base", "✗ A", "✓ B", "✓ B"]
    frame = verdicts(layout)
    right = index.locator("#rows td.right").count()
    assert (right, index.locator("#rows td.wrong").count()) == (frame["correct"].sum(), (~frame["correct"]).sum())
    assert not index.locator("#message").is_visible()


@pytest.mark.parametrize("run", ["any run", "RL", "GT"])
@pytest.mark.parametrize("verdict", [None, "right", "wrong"])
def test_filters_show_what_the_grades_say_and_counts_keep_their_word(index, layout, run, verdict):
    choose(index, "run", run)
    if verdict:
        choose(index, "verdict", verdict)
    frame = verdicts(layout)
    if run != "any run":
        frame = frame[frame["run"] == run]
    if verdict:
        frame = frame[frame["correct"] == (verdict == "right")]
    questions = frame[["benchmark", "id"]].drop_duplicates()
    assert len(shown(index)) == len(questions)
    by_reason = frame.drop_duplicates(["benchmark", "id", "reason"])["reason"].value_counts().to_dict()
    assert pane(index, "reason") == by_reason
    assert pane(index, "benchmark") == questions["benchmark"].value_counts().to_dict()
    for reason, count in by_reason.items():
        choose(index, "reason", reason)
        wanted = frame[frame["reason"] == reason]
        expected = {f"{name} {id}" for name, id in zip(wanted["benchmark"], wanted["id"], strict=True)}
        assert set(shown(index)) == expected
        assert len(expected) == count
        choose(index, "reason", reason)


def test_agreement_of_another_comparison(index):
    choose(index, "agreement", "only RL")
    assert shown(index) == ["Choice c5"]
    index.select_option("#comparison", label="Table 4: Sizes (2 runs)")
    assert len(shown(index)) == 8, "another comparison has other agreements"
    choose(index, "agreement", "only GT-L")
    assert shown(index) == ["Choice c4"]
    assert index.locator("#head th").all_text_contents() == ["Question", "Reference", "Right", "GT-S", "GT-L"]
    index.click("#reset")
    assert len(shown(index)) == 8


def search(opened, words: str) -> list[str]:
    opened.fill("#search", words)
    while opened.evaluate("state.search") != words:
        opened.wait_for_timeout(20)
    return shown(opened)


def test_the_search_finds_beginnings_of_questions_ids_and_answers(index):
    assert search(index, "many FRAC") == ["Numbers & co n1"]
    assert search(index, "C'3") == ["Choice c'3"]
    assert search(index, "neither") == ["Choice c4"]
    assert search(index, "sqrt{12") == ["Numbers & co n2"]
    assert search(index, "題目") == [], "the index has the beginnings of questions only"
    assert index.locator("#count").text_content() == "0 questions"


def test_the_search_on_a_page_with_texts_reads_all_of_them(page, layout):
    page.goto(Path(layout.response_texts("Choice")).as_uri())
    page.wait_for_selector("#rows tr")
    assert search(page, "題目 </SCRIPT>") == ["Choice c/1", "Choice c 2", "Choice c4"]
    assert search(page, "no idea") == ["Choice c'3"]


def test_a_question_of_the_index_leads_to_its_texts(index):
    index.select_option("#comparison", label="All runs (4 runs)")
    index.get_by_text("Choice c/1", exact=True).click()
    index.click("#texts")
    index.wait_for_selector(".card")
    assert index.url.split("/responses/")[1].startswith("Choice.html#Choice/c%2F1")
    assert index.locator("h2").text_content() == "Choice c/1"
    assert index.locator(".card h3").all_text_contents() == ["Base", "RL", "GT", "GT-L"], "the comparison is kept"
    texts = index.locator(".card .text").all_text_contents()
    assert texts == [RESPONSES[label][0] for label in ("Base", "RL", "GT", "GT-L")]
    assert index.locator(".card mark").all_text_contents() == [r"\boxed{A}", r"\boxed{B}", r"\boxed{B}", r"\boxed{B}"]
    assert "broken" not in index.title()


def test_nasty_questions_and_very_long_responses_are_shown_as_they_are(page, layout):
    page.goto(f"{Path(layout.response_texts('Choice')).as_uri()}#Choice/c%202")
    page.wait_for_selector(".card")
    assert page.locator(".question").text_content() == f"Which? {NASTY}"
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('h2').textContent === \"Choice c'3\"")
    assert page.locator(".card .text").nth(2).text_content() == rf"{LONG} \boxed{{A}}"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "a long line is broken"
    page.keyboard.press("Escape")
    page.locator("#list").wait_for(state="visible")
    page.goto(f"{Path(layout.response_texts('Numbers-co')).as_uri()}#Numbers%20%26%20co/n1")
    page.wait_for_selector(".card")
    assert page.locator(".question").text_content() == f"How many? {LATEX}"


def test_pages_on_request_begin_with_their_run(page, layout):
    page.goto(Path(layout.selected_responses(COMPARED["GT"], "Choice"), "page-1.html").as_uri())
    page.wait_for_selector("#rows tr")
    assert shown(page) == ["Choice c 2", "Choice c4", "Choice c5"]
    assert page.locator("#pane-run button[aria-pressed=true] span").first.text_content() == "GT"
    page.locator("#rows tr").first.click()
    assert page.locator(".card h3").all_text_contents() == ["GT"]
    assert page.locator("tbody tr:visible").count() == 3, "the other runs' verdicts are beside it"
    page.click("text=All verdicts")
    page.wait_for_selector("#rows tr")
    assert len(shown(page)) == 8
