"""What each normalisation of the grader is worth: the verdicts that change if it is taken out.

Every regular expression of the files in `answers/` is replaced by one that matches nothing, and every step in STEPS and
in WORKER by one that does nothing, one at a time. The verdicts are those of tests/grading (corpus), of
grading_rewrites.py (rewrites), and of the real files: each reference beside itself and beside another row's answer.

    GENERALTHINKER_DATA_MIRROR=<folder> python benchmarks/grading_ablation.py [--every 5] [--choice 500] [--only units]

It takes about a quarter of an hour. <folder> has the files that grading_rewrites.py and tests/test_real_files.py read.
"""

import argparse
import itertools
import random
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from generalthinker.answers import (
    choice,
    exact_numbers,
    grade,
    latex,
    mathematics,
    parts,
    spelling,
    units,
    verifier,
)
from generalthinker.config.data import SourceSettings
from generalthinker.data.adapt import adapt
from generalthinker.data.fetch import fetch
from grading_rewrites import cases

CORPUS = Path(__file__).parents[1] / "tests" / "grading"
REAL = [
    ("gsm8k", "openai/gsm8k", "main"),
    ("math", "nlile/hendrycks-MATH-benchmark", None),
    ("amc23", "math-ai/amc23", None),
    ("mmlu_pro", "TIGER-Lab/MMLU-Pro", None),
]
MODULES = (latex, spelling, units, exact_numbers, parts, mathematics, choice)
# a set of cases, a response, its reference, the answer type, the options
Case = tuple[str, str, str, str, list[str] | None]

# a step of the comparison, where it is, and what replaces it
STEPS: list[tuple[str, Any, str, Any]] = [
    ("numbers as exact fractions", mathematics, "read_number", lambda text: None),
    ("units", mathematics, "split_unit", lambda text, other="": (text, None)),
    ("conflicts of units", mathematics, "conflict", lambda one, other: False),
    ("a unit's letter is a symbol in the other answer", mathematics, "_without_unit", None),
    ("tuples, intervals and vectors by entry", mathematics, "_entries", lambda text, other: None),
    ("(x, y) = (1, 2) as x = 1, y = 2", mathematics, "_entries_named", lambda text, other: text),
    ("several values as a set", mathematics, "split_values", lambda text: None),
    ("both signs of ±", parts, "_signs", lambda text: [text]),
    ("repeated values", mathematics, "is_set", lambda text: True),
    ("x = 5 as 5", mathematics, "_without_assignments", lambda given, wanted: (given, wanted)),
    ("= inside brackets", mathematics, "sides", lambda text: text.split("=")),
    ("words without case", mathematics, "_folded", spelling.key),
    ("words are no products", mathematics, "_wordy", lambda text: False),
    ("text around an answer", mathematics, "unframed", lambda text: text),
    ("fonts and text commands", mathematics, "unwrap", lambda text: text),
    ("an option's text in another case", choice, "_loose", spelling.key),
    ("letter and text of an option", choice, "_with_text", lambda given, options: None),
]
# a step of the process in which math-verify runs: what it is, its source, and what replaces it
WORKER = [
    (
        "symbols keep their case",
        'Symbol(re.sub("([A-Z])", r"\\1^", symbol.name).lower(), real=True)',
        "Symbol(symbol.name.lower(), real=True)",
    ),
    ("i is the imaginary unit", 'I if symbol.name == "i" else ', ""),
    ("E, I, γ and Γ are symbols", "_NAMES.sub(_symbol, text)", "text"),
    ("2(3) is a product", r'_PRODUCT.sub(r"\1\\cdot ", ', "("),
    ("the sun's symbol", r'text = re.sub(r"_\s*\{?\s*\\odot\s*\}?", r"_{sun}", text)', "pass"),
    ("degrees", "convert_degrees=True", "convert_degrees=False"),
    ("malformed operators (math-verify)", "malformed_operators=True", ""),
    ("different at a point is different", "error > TOLERANCE", "False"),
    ("equal at two points is equal", "error < EXACT", "False"),
    ("sets beside relations (math-verify)", "allow_set_relation_comp=True, ", ""),
]


class Nothing:
    """A regular expression that matches nothing, whatever groups its user expects."""

    pattern = ""

    def search(self, text: str) -> None:
        return None

    match = fullmatch = search

    def sub(self, _: Any, text: str) -> str:
        return text

    def subn(self, _: Any, text: str) -> tuple[str, int]:
        return text, 0

    def split(self, text: str) -> list[str]:
        return [text]

    def findall(self, text: str) -> list[str]:
        return []

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        return iter(())


class Spy:
    """A regular expression that notes the number of each case in which it matches."""

    current = -1

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.regex = pattern
        self.seen: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.regex, name)
        if not callable(method):
            return method

        def noted(*arguments: Any) -> Any:
            text = arguments[1] if name in ("sub", "subn") else arguments[0]
            if self.regex.search(text):
                self.seen.add(Spy.current)
            return method(*arguments)

        return noted


def all_cases(every: int, choices: int) -> Iterator[Case]:
    """Yield the cases: one of `every` rewrites, and of the multiple-choice rows of the real files at most `choices`."""
    for name, answer_type in (("math", "math"), ("choice", "mcq")):
        for group in yaml.load((CORPUS / f"{name}.yaml").read_text(encoding="utf-8"), yaml.BaseLoader).values():
            for question in group:
                for response in (r for verdict in ("right", "wrong", "missed") for r in question.get(verdict, [])):
                    yield "corpus", response, question["reference"], answer_type, question.get("options")
    for _, _, _, reference, answer in itertools.islice(cases("all"), 0, None, every):
        yield "rewrites", f"\\boxed{{{answer}}}", reference, "math", None
    draw = random.Random(7)
    for adapter, dataset, subset in REAL:
        settings = SourceSettings(adapter=adapter, dataset=dataset, subset=subset, rows=None, revision="mirror")
        read = adapt(settings, fetch(settings, None, 1)).questions
        asked = draw.sample(read, min(choices, len(read))) if adapter == "mmlu_pro" else read
        for question in asked:
            answers = [question.answer, draw.choice(read).answer]
            for answer in answers + ([text[3:] for text in answers] if question.options else []):
                yield "real", f"\\boxed{{{answer}}}", question.answer, question.answer_type, question.options


def graded(case: Case) -> bool:
    try:
        return grade(case[1], case[2], case[3], case[4]).correct  # type: ignore[arg-type]
    except Exception:  # an expression whose groups are needed: without them nothing is right
        return False


def expressions() -> Iterator[tuple[str, re.Pattern[str], Callable[[Any], None]]]:
    """Yield the name of each regular expression, the expression, and what puts another one in its place."""
    for module in MODULES:
        short = module.__name__.rpartition(".")[2]
        for name, value in list(vars(module).items()):
            if isinstance(value, re.Pattern):
                yield f"{short}.{name}", value, lambda new, module=module, name=name: setattr(module, name, new)
            elif isinstance(value, list) and value and isinstance(value[0], re.Pattern):
                for place, pattern in enumerate(value):
                    yield (
                        f"{short}.{name}: {place + 1}",
                        pattern,
                        lambda new, table=value, place=place: table.__setitem__(place, new),
                    )
            elif isinstance(value, list) and value and isinstance(value[0], tuple):
                for place, (pattern, spelled) in enumerate(value):

                    def put(new: Any, table: Any = value, place: int = place, spelled: Any = spelled) -> None:
                        table[place] = (new, spelled)

                    yield f"{short}.{name}: {pattern.pattern}", pattern, put


def characters() -> Iterator[tuple[str, str]]:
    for code, spelled in list(latex._CHARACTERS.items()):
        yield chr(code), spelled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=5, help="one of so many rewrites")
    parser.add_argument("--choice", type=int, default=500, help="multiple-choice rows of the real files")
    parser.add_argument("--only", default="", help="only normalisations with this text in their names")
    parser.add_argument("--brief", action="store_true", help="a few cases: does it run?")
    arguments = parser.parse_args()
    every = list(all_cases(arguments.every, arguments.choice))
    if arguments.brief:
        every = every[::40]
    print(Counter(case[0] for case in every))
    found = list(expressions())
    spies = [Spy(pattern) for _, pattern, _ in found]
    for (_, _, put), spy in zip(found, spies, strict=True):
        put(spy)
    before = []
    for place, case in enumerate(every):
        Spy.current = place
        spelling.canonical_latex.cache_clear()
        before.append(graded(case))
    for _, pattern, put in found:
        put(pattern)

    def count(name: str, places: Any) -> None:
        spelling.canonical_latex.cache_clear()
        changed = Counter(every[place][0] for place in places if graded(every[place]) != before[place])
        print(f"{changed['corpus']:5}{changed['rewrites']:6}{changed['real']:6}  {name}", flush=True)

    places = range(len(every))
    for (name, pattern, put), spy in zip(found, spies, strict=True):
        if arguments.only in name:
            put(Nothing())
            count(name, sorted(spy.seen))
            put(pattern)
    for character, spelled in characters():
        if arguments.only in f"latex character {character}":
            del latex._CHARACTERS[ord(character)]
            with_it = [place for place in places if character in every[place][1] + every[place][2]]
            count(f"latex character {character}", with_it)
            latex._CHARACTERS[ord(character)] = spelled
    for name, module, function, replacement in STEPS:
        if arguments.only in name:
            whole = getattr(module, function)
            setattr(module, function, replacement or (lambda text, other, whole=whole: whole(text, "")))
            count(name, places)
            setattr(module, function, whole)
    worker = verifier.WORKER
    source = worker.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for name, old, new in WORKER[: 1 if arguments.brief else None]:
            if arguments.only in name:
                if old not in source:
                    raise SystemExit(f"{worker} has no {old!r}: mend WORKER")
                verifier.WORKER = Path(folder) / "worker.py"
                verifier.WORKER.write_text(source.replace(old, new), encoding="utf-8")
                verifier.close()
                verifier.equal.cache_clear()
                count(name, [place for place in places if every[place][3] == "math"])
    verifier.WORKER = worker
    verifier.close()


if __name__ == "__main__":
    main()
