"""What grading takes: seconds for a SuperGPQA-size file of multiple-choice responses, and for a MATH-style one.

The responses are made here: about 1,000 tokens of prose and formulas each, then a last box that names the right
option, another one or none, in the forms that models use. Loading and starting processes are part of the time.

    python benchmarks/grading_speed.py [--workers 2] [--choice 26529] [--math 5000] [--brief]
"""

import argparse
import random
import tempfile
import time
from pathlib import Path

import pandas as pd

from generalthinker.answers.stage import grade_file
from generalthinker.files import read_parquet, write_parquet

LETTERS = "ABCDEFGHIJ"
SENTENCES = (
    "We are given that the mass is $m = 2.5\\,\\mathrm{kg}$ and the force acts along the axis.",
    "Option B cannot hold, since the sum $\\sum_{k=1}^{n} k = \\frac{n(n+1)}{2}$ grows too fast.",
    "\\[\n\\int_0^{\\pi} \\sin x \\, dx = 2\n\\]",
    "Therefore, comparing both sides, we can rule out the first two possibilities.",
    "- **Step**: evaluate the expression at $x = 0$ and at $x = 1$.",
)
FORMS = (
    "{L}",
    "({L})",
    "\\text{{{L}}}",
    "\\text{{({L})}}",
    "{L}. {T}",
    "\\text{{{L}. {T}}}",
    "{T}",
    "Option {L}",
    "{L}) {T}",
)
MATHS = (
    ("{a}", "{a}.0", "{b}"),
    ("\\frac{{{a}}}{{{b}}}", "\\dfrac{{{a}}}{{{b}}}", "\\frac{{{b}}}{{{a}}}"),
    ("{a}\\sqrt{{{b}}}", "\\sqrt{{{a} \\cdot {a} \\cdot {b}}}", "\\sqrt{{{a} \\cdot {b}}}"),
    ("x^2 + {a}x - {b}", "-{b} + {a}x + x^2", "x^2 - {a}x + {b}"),
    ("({a}, \\frac{{\\pi}}{{{b}}})", "\\left({a}, \\pi/{b}\\right)", "(\\frac{{\\pi}}{{{b}}}, {a})"),
    ("{a}, {b}", "x = {b} \\text{{ or }} x = {a}", "{a}"),
    ("(-\\infty, {a}) \\cup ({b}, \\infty)", "({b}, \\infty) \\cup (-\\infty, {a})", "(-\\infty, {a}]"),
    ("{a}^\\circ", "{a}", "{b}^\\circ"),
    ("{a}\\pi", "{a}\\pi \\text{{ cm}}^2", "{b}\\pi"),
    ("\\text{{east}}", "\\text{{East}}", "\\text{{west}}"),
)


def reasoning(draw):
    return "\n\n".join(draw.choice(SENTENCES) for _ in range(55))  # about 1,000 tokens


def choice_rows(draw, count):
    for place in range(count):
        options = [
            f"${draw.randrange(1, 999)} \\sqrt{{{k + 2}}}$ m/s and {draw.choice('abc')} falls" for k in range(10)
        ]
        right, named = draw.randrange(10), draw.randrange(10)
        named = right if draw.random() < 0.4 else named
        form = draw.choice(FORMS).format(L=LETTERS[named], T=options[named])
        box = draw.choice((f"\\boxed{{{form}}}",) * 8 + ("\\boxed{I think it is B}", "The answer is C."))
        yield f"q{place}", f"{LETTERS[right]}. {options[right]}", "mcq", options, f"{reasoning(draw)}\n\n{box}"


def math_rows(draw, count):
    for place in range(count):
        a, b = draw.sample(range(2, 200), 2)
        reference, equal, different = (text.format(a=a, b=b) for text in draw.choice(MATHS))
        answer = draw.choice((reference, equal, different))
        yield f"q{place}", reference, "math", None, f"{reasoning(draw)}\n\n\\[ \\boxed{{{answer}}} \\]"


def measure(name, rows, workers):
    with tempfile.TemporaryDirectory() as folder:
        questions, generations, grades = (Path(folder) / f"{file}.parquet" for file in ("questions", "raw", "grades"))
        frame = pd.DataFrame(rows, columns=["id", "answer", "answer_type", "options", "response"])
        write_parquet(questions, frame.drop(columns="response"), {"benchmark": name})
        frame = frame[["id", "response"]].assign(benchmark=name, truncated=False, tokens=1000)
        write_parquet(generations, frame, {})
        start = time.perf_counter()
        grade_file(generations, [questions], grades, workers)
        seconds = time.perf_counter() - start
        verdicts, _ = read_parquet(grades)
    print(
        f"{name}: {len(verdicts)} responses, {frame['response'].str.len().mean():.0f} characters each, {seconds:.1f} s"
    )
    print(verdicts["reason"].value_counts().to_string())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--choice", type=int, default=26_529)
    parser.add_argument("--math", type=int, default=5_000)
    parser.add_argument("--brief", action="store_true", help="a hundred responses of each kind: does it run?")
    arguments = parser.parse_args()
    if arguments.brief:
        arguments.choice = arguments.math = 100
    draw = random.Random(7)
    measure("multiple choice", choice_rows(draw, arguments.choice), arguments.workers)
    measure("mathematics", math_rows(draw, arguments.math), arguments.workers)


if __name__ == "__main__":
    main()
