"""A real browser for tests of written pages: Debian's chromium, driven by playwright. Without one of them, a skip.

conftest.py imports the fixtures, so that all tests of a process share one browser; a test has the marker `browser`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = "/usr/bin/chromium"
REQUIRED = "GENERALTHINKER_REQUIRE_BROWSER"  # CI sets it, so that a missing browser fails there


def missing(reason: str) -> None:
    if os.environ.get(REQUIRED):
        pytest.fail(f"{REQUIRED} is set, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if not Path(CHROMIUM).exists():
        missing(f"{CHROMIUM} is not there: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed: pip install playwright")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """An empty page; the test fails if it logs an error or asks for anything but local files."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    opened = context.new_page()
    problems: list[str] = []
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("request", lambda request: None if local(request.url) else problems.append(f"asked for {request.url}"))
    yield opened
    context.close()
    if problems:
        pytest.fail("\n".join(problems))


def local(url: str) -> bool:
    return url.startswith(("file://", "data:", "blob:"))
