"""Grading costs at most its time limit whatever a model writes, and every response gets exactly one verdict."""

import random
import time

import pytest

from generalthinker.answers import CORRECT, REASONS, grade, verifier

pytestmark = pytest.mark.slow
FUZZED = 5_000
# What a comparison may take beyond its limit: a process to start again after one had to be killed.
RESTART = 20
OPTIONS = ["3.2 m/s", "$\\frac{1}{2}$", "A cat", "None of the above"]


def nested(depth, opening="{", closing="}"):
    return opening * depth + "1" + closing * depth


PATHOLOGICAL = {
    "10,000 nested braces": r"\boxed{" + nested(10_000) + "}",
    "10,000 nested braces that never close": r"\boxed{" + "{" * 10_000,
    "1,000 nested braces": r"\boxed{" + nested(990) + "}",
    "nested fractions": r"\boxed{" + nested(60, r"\frac{1}{1+", "}") + "}",
    "nested roots": r"\boxed{" + nested(90, r"\sqrt{", "}") + "}",
    "nested parentheses": r"\boxed{" + nested(900, "(", ")") + "}",
    "nested sets": r"\boxed{" + nested(400, r"\{1,", r"\}") + "}",
    "nested boxes": nested(5_000, r"\boxed{"),
    "a line of a megabyte": r"\boxed{" + "x" * 1_000_000 + "}",
    "a megabyte of digits": r"\boxed{" + "9" * 1_000_000 + "}",
    "a megabyte of boxes": r"\boxed{" * 150_000,
    "a megabyte before the box": "so " * 350_000 + r"\boxed{43}",
    "a thousand values": r"\boxed{" + ",".join(map(str, range(300))) + "}",
    "a tower of powers": r"\boxed{9^{9^{9^{9}}}}",
    "a tower of powers, bare": r"\boxed{9^9^9^9}",
    "a huge power": r"\boxed{2^{10^{12}} + x}",
    "a huge factorial": r"\boxed{(10^{9})!}",
    "a huge exponent": r"\boxed{10^{999999999}}",
    "a huge exponent, e": r"\boxed{1e999999999}",
    "a huge binomial": r"\boxed{\binom{10^{9}}{10^{8}}}",
    "a long sum": r"\boxed{\sum_{k=1}^{10^{9}} \frac{1}{k^{3} + k}}",
    "a hard integral": r"\boxed{\int_0^1 x^{x^{x}} \sin(\sin x) e^{-x^{7}} dx}",
    "a large matrix": r"\boxed{\begin{pmatrix}" + r" \\ ".join(["1 & 2 & 3 & 4 & 5"] * 40) + r"\end{pmatrix}}",
    "malformed: frac": r"\boxed{\frac{1}{}}",
    "malformed: frac alone": r"\boxed{\frac}",
    "malformed: sqrt": r"\boxed{\sqrt[}",
    "malformed: left": r"\boxed{\left( 3, \right.}",
    "malformed: begin": r"\boxed{\begin{pmatrix} 1 & 2}",
    "malformed: end": r"\boxed{\end{pmatrix}}",
    "malformed: operators": r"\boxed{+ - * / ^ _ = < > ,}",
    "malformed: backslashes": "\\boxed{" + "\\" * 1_001 + "}",
    "division by zero": r"\boxed{\frac{1}{0} + \frac{0}{0}}",
    "nothing but spaces": "\\boxed{" + " " * 100_000 + "}",
    "null bytes": "\\boxed{\0\0\0}",
    "lone surrogates": "\\boxed{\ud800 43}",
    "right-to-left and combining characters": "\\boxed{\u202e34\u0301\u200b}",
    "digits of other scripts": "\\boxed{٤٣}",
    "a superscript digit": "\\boxed{4²}",
    "empty": "",
}


@pytest.mark.parametrize("answer_type", ["math", "mcq"])
@pytest.mark.parametrize("response", PATHOLOGICAL.values(), ids=PATHOLOGICAL.keys())
def test_a_pathological_response_costs_at_most_its_limit(response, answer_type, monkeypatch):
    monkeypatch.setattr(verifier, "TIME_LIMIT", 2.0)
    reference, options = ("42 + x", None) if answer_type == "math" else ("B. $\\frac{1}{2}$", OPTIONS)
    start = time.monotonic()
    verdict = grade(response, reference, answer_type, options)
    assert time.monotonic() - start < 2.0 + RESTART
    assert not verdict.correct
    assert verdict.reason in set(REASONS) - CORRECT
    # and the grader still works
    assert grade(r"\boxed{\sqrt{12}}", r"2\sqrt{3}", "math").correct


SLOW_WORKER = """
import json, sys, time

print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    time.sleep(0.05)
    print(json.dumps(False), flush=True)
"""


@pytest.fixture
def slow_worker(tmp_path, monkeypatch):
    """Replace the process that compares expressions by one that finds all of them different, after 0.05 seconds."""
    worker = tmp_path / "slow_worker.py"
    worker.write_text(SLOW_WORKER)
    verifier.close()
    monkeypatch.setattr(verifier, "WORKER", worker)
    yield
    verifier.close()


def test_the_parts_of_an_answer_share_one_limit(slow_worker, monkeypatch):
    assert grade(r"\boxed{x^{18} + 1}", "z^{18} + 1", "math").reason == "different"
    monkeypatch.setattr(verifier, "TIME_LIMIT", 0.5)
    values = ", ".join(f"x^{{{k}}} + 1" for k in range(20, 40))
    start = time.monotonic()
    assert grade(rf"\boxed{{{values}}}", values.replace("x", "z"), "math").reason == "timeout"
    assert time.monotonic() - start < 5


WORDS = [
    *(r"\boxed{", "}", "{", "}", r"\frac", r"\dfrac", r"\sqrt", r"\text{", r"\mathrm{", r"\left(", r"\right]", r"\pi"),
    *(
        r"\cup",
        r"\infty",
        r"\in",
        r"\pm",
        r"\begin{pmatrix}",
        r"\end{pmatrix}",
        r"\\",
        "&",
        r"\%",
        r"\$",
        "$",
        "^",
        "_",
    ),
    *("^{2}", "_{8}", "(", ")", "[", "]", ",", ";", ":", ".", "=", "<", r"\le", "+", "-", "*", "/", "!", "'", "|", "~"),
    *(
        "0",
        "1",
        "2",
        "42",
        "3.14",
        "1,000",
        "x",
        "y",
        "n",
        "A",
        "B",
        "C",
        "D",
        "cm",
        "and",
        "or",
        "Option",
        "the answer is",
    ),
    *(
        "\n",
        " ",
        "\t",
        "\0",
        "é",
        "≤",
        "√",
        "²",
        "٤",
        "😀",
        "\u202e",
        "\u0301",
        "\ud800",
        "漢字",
        "10^{-3}",
        r"\overline{3}",
    ),
]
STYLES = [
    ("math", "42", None, r"Therefore \boxed{42}."),
    ("math", r"\frac{1}{2}", None, r"\boxed{\dfrac{1}{2}}"),
    ("math", r"\left( 3, \frac{\pi}{2} \right)", None, r"\boxed{\left(3, \frac{\pi}{2}\right)}"),
    ("math", r"(-\infty, 2) \cup (3, \infty)", None, r"\boxed{x < 2 \text{ or } x > 3}"),
    ("math", "1.6e-19", None, r"\boxed{1.6 \times 10^{-19} \, \mathrm{C}}"),
    ("math", r"1 \pm \sqrt{19}", None, r"\boxed{1+\sqrt{19}, 1-\sqrt{19}}"),
    ("math", r"x^2 + 2x + 1", None, r"\boxed{(x+1)^2}"),
    ("math", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", None, r"\boxed{\begin{pmatrix} 1 \\ 2 \end{pmatrix}}"),
    ("math", r"\text{even}", None, r"\boxed{\text{even}}"),
    ("mcq", "A. 3.2 m/s", OPTIONS, r"so \boxed{\text{A. 3.2 m/s}}"),
    ("mcq", r"B. $\frac{1}{2}$", OPTIONS, r"\boxed{\frac{1}{2}}"),
    ("mcq", "C. A cat", OPTIONS, r"The answer is \boxed{(C)}"),
]


def fuzzed(draw):
    """One case: an answer with a few pieces put in, left out or doubled, or a box of nothing but pieces."""
    answer_type, reference, options, response = draw.choice(STYLES)
    if draw.random() < 0.3:
        pieces = [draw.choice(WORDS) for _ in range(draw.randrange(1, 30))]
        return rf"\boxed{{{''.join(pieces)}}}", reference, answer_type, options
    for _ in range(draw.randrange(1, 6)):
        start = draw.randrange(len(response) + 1)
        end = min(len(response), start + draw.choice((0, 0, 1, 3)))
        response = response[:start] + draw.choice([draw.choice(WORDS), "", response[start:end] * 2]) + response[end:]
    return response, reference, answer_type, options


def test_no_fuzzed_response_crashes_hangs_or_is_lost(monkeypatch):
    monkeypatch.setattr(verifier, "TIME_LIMIT", 2.0)
    draw = random.Random(20_250_101)
    verdicts = [grade(*fuzzed(draw)) for _ in range(FUZZED)]
    assert len(verdicts) == FUZZED
    assert {verdict.reason for verdict in verdicts} <= set(REASONS)
    assert all(verdict.correct == (verdict.reason in CORRECT) for verdict in verdicts)
    # the mixture reaches both verdicts
    assert 100 < sum(verdict.correct for verdict in verdicts) < FUZZED - 100
