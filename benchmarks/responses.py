"""The response browser at the paper's size: seconds, memory and file sizes for 865,000 invented responses of 14 runs.

The responses have some 2,200 characters of invented words; their verdicts are random, with reasons as models give them.

    python benchmarks/responses.py [--keep FOLDER] [--brief]

With playwright and Debian's chromium, it also measures how long the pages take to open and to filter.
"""

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from generalthinker.config import Settings
from generalthinker.config.load import freeze, load
from generalthinker.files import write_parquet
from generalthinker.paths import Layout
from generalthinker.records import slug
from generalthinker.reporting.cells import all_evaluations

CONFIG = Path(__file__).parent.parent / "config/config.yaml"
CHROMIUM = "/usr/bin/chromium"
LETTERS = "ABCDEFGHIJ"
CHARACTERS = 2200  # of a response
# Of the wrong verdicts on multiple choice and on mathematics.
CHOICE = ["different"] * 7 + ["not_an_option", "not_an_option", "no_box", "truncated"]
NUMBERS = ["different"] * 8 + ["no_box", "unbalanced_box", "truncated"]


def invented_text(random_numbers: random.Random, characters: int) -> str:
    """Return words that are as frequent as in a language (Zipf's law)."""
    words = ["".join(random_numbers.choices("etaoinshrdlu", k=random_numbers.randint(2, 9))) for _ in range(8000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    return " ".join(random_numbers.choices(words, weights, k=characters // 4))


def write_results(settings: Settings, rows: int | None) -> int:
    """Write questions, responses and grades of every evaluation, at most `rows` per benchmark; return the responses."""
    layout, numbers = Layout(settings.results), random.Random(1)
    corpus = invented_text(numbers, 4_000_000)

    def text(characters: int) -> str:
        start = numbers.randrange(len(corpus) - characters)
        return corpus[start : start + characters]

    answers: dict[str, list[str]] = {}
    for name, benchmark in settings.benchmarks.items():
        count = min(benchmark.rows, rows or benchmark.rows)
        is_choice = benchmark.group == "General" or "GPQA" in name
        answers[name] = [numbers.choice(LETTERS) if is_choice else str(numbers.randrange(1000)) for _ in range(count)]
        frame = pd.DataFrame(
            {
                "id": [f"{numbers.getrandbits(128):032x}" for _ in range(count)],
                "question": [text(400) for _ in range(count)],
                "answer": [f"{answer}. {text(20)}" if is_choice else answer for answer in answers[name]],
            }
        )
        write_parquet(layout.benchmark(slug(name)), frame, {"benchmark": name})
    total = 0
    for run, suite in all_evaluations(settings):
        lines = []
        for name in settings.suite_benchmarks(suite):
            ids = pd.read_parquet(layout.benchmark(slug(name)))["id"]
            reasons, right = (CHOICE, "letter") if answers[name][0] in LETTERS else (NUMBERS, "equal_value")
            for id, answer in zip(ids, answers[name], strict=True):
                # Half of a verdict is the question's difficulty, so that runs agree more often than by chance.
                correct = (int(id[:4], 16) / 0xFFFF + numbers.random()) / 2 > 0.45
                reason = right if correct else numbers.choice(reasons)
                given = answer if correct else numbers.choice(LETTERS) if reason == "different" else None
                given = text(30) if reason == "not_an_option" else given
                box = "" if given is None else f"\\boxed{{{given}}}"
                lines.append((name, id, text(CHARACTERS) + box, correct, given, reason, reason == "truncated", 550))
        frame = pd.DataFrame(
            lines, columns=["benchmark", "id", "response", "correct", "extracted", "reason", "truncated", "tokens"]
        )
        write_parquet(layout.generations(run.name, suite), frame[["benchmark", "id", "response", "tokens"]])
        write_parquet(layout.grades(run.name, suite), frame.drop(columns="response"))
        total += len(frame)
    return total


def measured(*arguments: str) -> str:
    """Run one command of the project and return its seconds and memory."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "generalthinker.cli", *arguments], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    return f"{seconds:.1f} s, at most {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20:.2f} GiB"


def open_pages(pages: list[Path]) -> None:
    """Print how long each page takes in a browser to open, to filter, and to search (the first time takes longest)."""
    from playwright.sync_api import sync_playwright

    clock = "() => { const start = performance.now(); %s; return (performance.now() - start) / 1000; }"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for path in pages:
            page = browser.new_page()
            start = time.perf_counter()
            page.goto(path.absolute().as_uri())
            page.wait_for_selector("#rows tr")
            opened = time.perf_counter() - start
            filtered = page.evaluate(clock % "choose('verdict', 'wrong')")
            searches = [page.evaluate(clock % f"state.search = '{word}'; showList()") for word in ("ab", "ba")]
            print(
                f"{path.name}: opens in {opened:.2f} s, filters in {filtered:.2f} s, "
                f"searches in {searches[0]:.2f} and {searches[1]:.2f} s"
            )
            page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="write to this folder, and use what is there")
    parser.add_argument("--brief", action="store_true", help="30 questions per benchmark, for a test")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        results = (arguments.keep or Path(temporary)) / "results"
        settings = load([CONFIG]).model_copy(update={"results": str(results)})
        if not results.exists():
            total = write_results(settings, rows=30 if arguments.brief else None)
            print(f"{total:,} responses of {len({run for run, _ in all_evaluations(settings)})} runs")
        layout, frozen = Layout(str(results)), str(freeze(settings))
        print(f"index and examples: {measured('responses', '--settings', frozen)}")
        run, name = all_evaluations(settings)[0][0].name, "SuperGPQA"
        print(f"{run} on {name}: {measured('responses', run, name, '--settings', frozen)}")
        folder = Path(layout.selected_responses(run, name))
        pages = [Path(layout.responses), Path(layout.response_texts(name)), folder / "page-1.html"]
        for path in pages:
            print(f"{path.relative_to(results)}: {path.stat().st_size / 1e6:.1f} MB")
        sizes = [path.stat().st_size / 1e6 for path in results.rglob("*.html")]
        print(f"{len(sizes)} pages: {sum(sizes):.1f} MB, the largest {max(sizes):.1f} MB")
        if Path(CHROMIUM).exists():
            try:
                open_pages(pages)
            except ImportError:
                print("playwright is not installed: opening is not measured")


if __name__ == "__main__":
    main()
