import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generalthinker.answers import COMPARISONS, CORRECT, REASONS, grade, mathematics, verifier
from generalthinker.data import DataError
from generalthinker.data.questions import write_questions
from generalthinker.records import Grade, Question

# reference, what the response boxes
EQUAL = [
    ("5", "5"),
    ("5", "5."),
    ("5", "$5$"),
    ("5", r"\(5\)"),
    ("5", "x = 5"),
    ("x=5", "5"),
    ("k = 5", "k=5"),
    ("18", r"\$18"),
    ("18", "18.00"),
    ("18", "18 dollars"),
    ("18.90", r"\$18.90"),
    ("2125", "2,125"),
    ("2,125", "2125"),
    (r"10,\!080", "10080"),
    (r"11,\! 111,\! 111,\! 100", "11111111100"),
    ("1000000", "1{,}000{,}000"),
    ("50", r"50\%"),
    ("50%", "50"),
    ("50%", "0.5"),
    ("0.05", r"5\%"),
    ("50%", "50 percent"),
    (r"90^\circ", "90"),
    ("90", r"90^{\circ}"),
    ("90", "90°"),
    (r"\frac{270}7\text{ degrees}", r"\dfrac{270}{7}"),
    (r"864 \mbox{ inches}^2", "864"),
    (r"864 \mbox{ inches}^2", r"864 \text{ square inches}"),
    (r"15\mbox{ cm}^2", r"15 \text{ cm}^2"),
    (r"5.4 \text{ cents}", "5.4"),
    ("12", r"12 \text{ apples}"),
    ("60", "60 miles per hour"),
    (r"\frac{1}{2}", r"\dfrac12"),
    (r"\frac{1}{2}", "1/2"),
    (r"\frac{1}{2}", "0.5"),
    (r"\frac43", r"\tfrac{4}{3}"),
    (r"-\frac{35}{9}", r"\frac{-35}{9}"),
    (r"1\frac{4}{5}", "9/5"),
    (r"137 \frac{1}{2}", "137.5"),
    (r"\frac{1}{3}", "0.333333333"),
    (".0000672", r"6.72 \times 10^{-5}"),
    ("4.5e33", r"4.5 \times 10^{33}"),
    (r"3\sqrt{13}", r"\sqrt{117}"),
    (r"11\sqrt2", r"11\sqrt{2}"),
    (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}"),
    ("p - q", "-q + p"),
    ("(a+5)(b+2)", "(b+2)(a+5)"),
    ("x^3+3x-6", "3x + x^3 - 6"),
    ("6 - 5i", "-5i+6"),
    (r"\left( 3, \frac{\pi}{2} \right)", r"(3, \frac{\pi}{2})"),
    (r"\left( 3, \frac{\pi}{2} \right)", r"\left(3,\pi/2\right)"),
    ("(3,4]", r"\left(3, 4\right]"),
    (r"x \in [-2,7]", "[-2, 7]"),
    (r"(-\infty, 2) \cup (3, \infty)", r"(3,\infty)\cup(-\infty,2)"),
    ("[-2,7]", r"-2 \le x \le 7"),
    ("1,-2", "-2, 1"),
    ("3, 5, 7", r"7, 5 \text{ and } 3"),
    ("1,-2", "x = 1 or x = -2"),
    (r"1 \pm \sqrt{19}", r"1+\sqrt{19}, 1-\sqrt{19}"),
    (r"\{1\pm\sqrt{5},-2\}", r"-2, 1-\sqrt 5, 1+\sqrt 5"),
    (r"\text{Evelyn}", "Evelyn"),
    (r"\text{east}", r"\textbf{East}"),
    (r"\text{(C)}", "C"),
    ("52_8", "52_{8}"),
    ("y = 2x + 3", "y=3+2x"),
    (r"\begin{pmatrix} -2 \\ -14 \\ -7 \end{pmatrix}", r"\begin{pmatrix}-2\\-14\\-7\end{pmatrix}"),
    (r"\begin{pmatrix} 1/5 \\ -18/5 \end{pmatrix}", r"\begin{pmatrix} 0.2 \\ -3.6 \end{pmatrix}"),
    (r"\{1,2,3\}", "{3,2,1}"),
    (r"\emptyset", r"\{ \}"),
    (r"\sin x", "sin x"),
    (r"(2,\infty)", "x > 2"),
    ("4.8e-19", r"4.8 \times 10^{-19} \mathrm{~J}"),
    ("288 \\pi", r"288\pi \text{ cubic units}"),
]
DIFFERENT = [
    ("5", "6"),
    ("5", "-5"),
    ("5", "15"),
    ("5", "y = 6"),
    ("x=5", "y=5"),
    ("2125", "2,126"),
    ("1000000", "1000001"),
    (".0000672", "0.0000674"),
    ("50%", "0.05"),
    ("50%", "0.5%"),
    (r"\frac{1}{3}", "0.33"),
    (r"\frac{1}{2}", r"\frac{2}{1}"),
    ("5.4", "5"),
    (r"15\mbox{ cm}^2", r"15 \text{ m}^2"),
    (r"15\mbox{ cm}^2", r"15 \text{ cm}"),
    ("(3,4]", "(3,4)"),
    ("[0,1]", "(0,1)"),
    ("(1,-2)", "(-2,1)"),
    ("1,-2", "(1,-2)"),
    ("(2,3)", "2"),
    ("3, 5, 7", "3, 5"),
    ("3, 5", "3, 5, 7"),
    (r"1 \pm \sqrt{19}", r"1+\sqrt{19}"),
    (r"\text{east}", r"\text{seat}"),
    ("AB", "BA"),
    (r"\frac{\pi}{4}", r"45^\circ"),
    ("2\\pi", "6.28"),
    (r"\text{east}", "west"),
    (r"\text{even}", "odd"),
    (r"\text{(C)}", "B"),
    ("52_8", "52_9"),
    (r"3\sqrt{13}", r"3\sqrt{12}"),
    ("p - q", "q - p"),
    ("y = 2x + 3", "y = 2x - 3"),
    (r"\frac{14}{3}", "14"),
    ("27", "The answer is not known"),
    ("27", r"\text{none}"),
]


@pytest.mark.parametrize(("reference", "boxed"), EQUAL)
def test_equal_answers_are_correct(reference, boxed):
    verdict = grade(f"Hence \\boxed{{{boxed}}}.", reference, "math")
    assert verdict.correct, verdict


@pytest.mark.parametrize(("reference", "boxed"), DIFFERENT)
def test_different_answers_are_wrong(reference, boxed):
    verdict = grade(f"Hence \\boxed{{{boxed}}}.", reference, "math")
    assert not verdict.correct, verdict
    assert verdict.reason == "different"


ANIMALS = ["a dog", "an ox", "A cat", "Evelyn the eel"]


@pytest.mark.parametrize(
    "boxed",
    [
        "C",
        "c",
        "(C)",
        "(c)",
        "[C]",
        "C.",
        "C)",
        "(C).",
        "C:",
        "Option C",
        "option (C)",
        "Answer: C",
        "The correct answer is C",
        r"\text{C}",
        r"\textbf{(C)}",
        r"\mathrm{C}",
        "$C$",
        "**C**",
        "C. A cat",
        "C) a cat",
        "(C) A cat",
        "C: a cat",
        "C - A cat",
        "C A cat",
        r"\text{C. A cat}",
        "A cat",
        "a cat",
        r"\text{A cat.}",
    ],
)
def test_right_option_in_any_usual_form(boxed):
    assert grade(f"I think \\boxed{{{boxed}}}", "C. A cat", "mcq", ANIMALS).correct


@pytest.mark.parametrize(
    ("boxed", "reason"),
    [
        ("B", "different"),
        ("(D)", "different"),
        ("D. A cat but bigger", "different"),
        ("an ox", "different"),
        ("E", "not_an_option"),
        ("A cat and a dog", "not_an_option"),
        ("I choose C because cats purr", "not_an_option"),
        ("cat", "not_an_option"),
        ("B and C", "not_an_option"),
        ("C, D", "not_an_option"),
        ("C. D", "not_an_option"),
        ("C. an ox", "not_an_option"),
        ("3", "not_an_option"),
        ("", "empty_box"),
    ],
)
def test_wrong_option_and_letters_in_prose(boxed, reason):
    verdict = grade(f"I think \\boxed{{{boxed}}}", "C. A cat", "mcq", ANIMALS)
    assert (verdict.correct, verdict.reason) == (False, reason)


def test_letter_case_and_negation_tell_options_apart():
    assert grade(r"\boxed{aa}", "C. aa", "mcq", ["AA", "Aa", "aa"]).correct
    assert not grade(r"\boxed{Aa}", "C. aa", "mcq", ["AA", "Aa", "aa"]).correct
    assert grade(r"\boxed{~A}", "B. ~A", "mcq", ["A", "~A"]).correct


def test_a_bare_capital_is_the_letter_even_if_it_is_also_an_options_text():
    assert grade(r"\boxed{B}", "B. A", "mcq", ["B", "A"]).correct
    assert grade(r"\boxed{b}", "A. b", "mcq", ["b", "a"]).correct


def test_an_option_with_unbalanced_braces_can_be_boxed():
    assert grade(r"\boxed{B. Re{s) > 0}", "B. Re{s) > 0", "mcq", ["none", "Re{s) > 0"]).correct


def test_options_may_be_any_sequence():
    numpy = pytest.importorskip("numpy")
    assert grade(r"\boxed{B}", "B. y", "mcq", numpy.array(["x", "y"], dtype=object)).correct


def test_the_last_box_counts_and_boxes_are_required():
    assert grade(r"\boxed{4} no, \boxed{5}", "5", "math").correct
    assert not grade(r"\boxed{5} no, \boxed{4}", "5", "math").correct
    assert grade("the answer is 5", "5", "math").reason == "no_box"
    assert grade(r"so \boxed{5} and \boxed{\frac{1}{2", "5", "math").reason == "unbalanced_box"
    assert grade(r"\boxed{ }", "5", "math").reason == "empty_box"


def test_a_multiple_choice_reference_needs_its_letter_and_options():
    with pytest.raises(ValueError, match="options"):
        grade(r"\boxed{A}", "A. x", "mcq")
    with pytest.raises(ValueError, match=r"C\. text"):
        grade(r"\boxed{A}", "x", "mcq", ["x"])


def test_grading_works_in_a_thread():
    verdicts = []
    thread = threading.Thread(target=lambda: verdicts.append(grade(r"\boxed{\sqrt{12}}", r"2\sqrt{3}", "math")))
    thread.start()
    thread.join(60)
    assert verdicts[0].correct


def test_a_comparison_that_hangs_is_killed_and_the_next_one_works(monkeypatch):
    verifier.equal(r"\sqrt{8}", r"2\sqrt{2}")
    monkeypatch.setattr(verifier, "TIME_LIMIT", 1.0)
    start = time.monotonic()
    verdict = grade(r"\boxed{9^{9^{9^{9^{9}}}} + x}", r"9^{9^{9^{9^{8}}}} + y", "math")
    assert (verdict.correct, time.monotonic() - start < 10) == (False, True)
    assert verdict.reason in ("timeout", "grader_error", "different")
    assert grade(r"\boxed{\sqrt{8}}", r"2\sqrt{2}", "math").correct


def test_a_late_verdict_is_a_timeout(monkeypatch):
    monkeypatch.setattr(verifier, "TIME_LIMIT", 0.0)
    assert grade(r"\boxed{\sqrt{1234}}", r"\sqrt{4321}", "math").reason == "timeout"


def test_long_answers_are_compared_as_text_only():
    long = "+".join(f"x_{{{k}}}" for k in range(400))
    assert grade(f"\\boxed{{{long}}}", long, "math").correct
    assert grade(f"\\boxed{{{long}}}", "5", "math").reason == "too_long"


@given(st.text(alphabet="0123456789abxy\\{}()[],.+-*/^_=<>$% √π°", max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_gets_a_reason(text):
    for verdict in (grade(f"\\boxed{{{text}}}", "x", "math"), grade(f"\\boxed{{{text}}}", "A. x", "mcq", ["x", "y"])):
        assert verdict.reason in REASONS
        assert verdict.correct == (verdict.reason in CORRECT)


@given(st.text(max_size=80))
@settings(deadline=None)
def test_an_answer_equals_itself(text):
    assert mathematics.compare(text, text, None) == "equal_text"


@pytest.mark.parametrize("unit", ["{", "(", r"\frac", r"\text{a}", "1,", "a ", "~", "-", r"\pm ", "1 ", "$", "%"])
def test_repetitive_answers_are_graded_in_linear_time(unit):
    start = time.monotonic()
    grade("\\boxed{" + unit * 20_000 + "}" * 20_000, "C. x", "mcq", ["a", "b", "x"])
    mathematics.compare((unit * 2000)[:1999], "5", None)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("response", [r"\boxed{B}", "no box"])
@pytest.mark.parametrize("unknown", ["choice", "", "MATH", None])
def test_an_unknown_answer_type_is_refused(unknown, response):
    with pytest.raises(ValueError, match=rf"answer_type = {unknown!r}: expected one of mcq, math"):
        grade(response, "B. two", unknown, ["one", "two"])


def test_questions_of_an_unknown_answer_type_are_not_written(tmp_path):
    question = Question("1", "Which?", "B. two", "chioce", ["one", "two"], "B", "source", "domain")
    with pytest.raises(DataError, match=r"\['chioce'\] cannot be graded; expected \['mcq', 'math'\]"):
        write_questions(tmp_path / "questions.parquet", [question], {})
    assert not list(tmp_path.iterdir())


def test_a_new_answer_type_needs_only_a_comparison_in_the_table(monkeypatch):
    def compare(content, reference, options):
        return "option_text" if (content, reference, options) == ("red", "RED", ["red", "blue"]) else "different"

    monkeypatch.setitem(COMPARISONS, "colour", compare)
    assert grade(r"\boxed{red}", "RED", "colour", ["red", "blue"]) == Grade(True, "red", "option_text")
    assert grade(r"\boxed{5}", "5", "colour") == Grade(False, "5", "different")
    assert grade("red", "RED", "colour").reason == "no_box"
