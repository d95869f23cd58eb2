import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generalthinker.answers import Box, last_box
from generalthinker.answers.boxed import BOX


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{5}", "5"),
        (r"\boxed{}", ""),
        (r"\boxed{1} then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{ x : x > 0 \right.}", r"\left\{ x : x > 0 \right."),
        (r"\boxed{a \\{b} c}", r"a \\{b} c"),
        ("\\boxed{two\nlines}", "two\nlines"),
        (r"\boxed{x = \boxed{3}}", "3"),
        (r"\boxed{5} and } more", "5"),
        (r"\boxed{5", None),
        (r"\boxed{4} \boxed{\frac{5}{6}", None),
        (r"\boxed{5\}", None),
        (r"\boxed{", None),
        ("\\boxed{5\\", None),
    ],
)
def test_last_box(text, content):
    box = last_box(text)
    assert box is not None
    assert (box.start, box.content) == (text.rfind("\\boxed{"), content)


@pytest.mark.parametrize("text", ["", "no box", r"\boxed 5", r"\fbox{5}", r"boxed{5}", r"\boxe{5}"])
def test_no_box(text):
    assert last_box(text) is None


@given(st.text(), st.text(alphabet="ab{}\\ "), st.text(alphabet="ab}\\ "))
def test_content_is_what_the_braces_hold(before, inner, after):
    box = last_box(f"{before}{BOX}{inner}}}{after}")
    assert isinstance(box, Box)
    if box.content is not None:
        text = f"{before}{BOX}{inner}}}{after}"
        assert text[box.start :].startswith(f"{BOX}{box.content}}}")


@given(st.recursive(st.text(alphabet="xy1 "), lambda inner: inner.map("{{{}}}".format) | inner.map("\\{{{}".format)))
def test_balanced_content_is_found_whole(content):
    assert last_box(f"so {BOX}{content}}} .") == Box(3, content)


@pytest.mark.parametrize("unit", ["{", "}", "\\", BOX, "\\{", "{}", "\\boxed"])
def test_time_is_linear_in_the_length(unit):
    start = time.perf_counter()
    last_box(BOX + unit * 200_000)
    assert time.perf_counter() - start < 2
