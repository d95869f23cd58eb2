"""Made-up rows in the columns of the real datasets, for a rehearsal on a machine that has not downloaded them.

`write_mirror` fills a local mirror: a file that another mirror has is copied, any other is generated with as many rows
as the configuration demands. A row depends on its dataset and its place alone. The questions are simple or senseless,
and their answers are right. Lengths and numbers of options vary, and some training questions are too long, repeated,
open-ended, or in a benchmark.
"""

import json
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

from generalthinker.config import Settings
from generalthinker.config.data import SourceSettings
from generalthinker.data import DataError
from generalthinker.data.crossthink_schemas import SCHEMAS
from generalthinker.data.fetch import mirror_files
from generalthinker.data.sources import DatasetRow
from generalthinker.files import replacing
from generalthinker.records import LETTERS

# The subsets of MMLU-Redux, all with the same number of rows.
SUBJECTS = [f"subject_{number:02}" for number in range(1, 58)]
TEXT = """
the a of in to and is are that for by with from as at on which when after before under over between each one two three
first last large small old new long short red blue green warm cold city river mountain island forest desert empire
king treaty war law court right duty price cost market tax trade bank profit worker cell gene protein enzyme virus
blood heart nerve muscle acid base salt metal ion atom bond electron energy force mass field wave light heat pressure
volume current temperature velocity voltage signal network program memory theory proof number set group ring function
limit series matrix vector angle area curve circle triangle mean variance sample test naïve café Gödel Schrödinger α β
μ ångström “quoted” –
"""
WORDS = TEXT.split()
# Makes the row at a place of a dataset.
Maker = Callable[[random.Random, int], DatasetRow]


def words(rng: random.Random, least: int, most: int) -> str:
    """Return a line of `least` to `most` words."""
    return " ".join(rng.choices(WORDS, k=rng.randint(least, most)))


def arithmetic(rng: random.Random, index: int) -> tuple[str, str]:
    """Return a calculation in LaTeX, another one for every index, and its value."""
    value = Fraction(rng.randint(1, 99), rng.randint(2, 12)) + index
    shown = str(value) if value.denominator == 1 else rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
    return rf"{index} + \frac{{{(value - index).numerator}}}{{{(value - index).denominator}}}", shown


def choices(rng: random.Random, index: int, least: int, most: int) -> tuple[str, list[str], int]:
    """Return stem, options and the place of the right one; every eighth question is long."""
    stem = f"In case {index}, {words(rng, *((200, 400) if index % 8 == 0 else (8, 60)))}. Which one is {index + 7}?"
    options = list(dict.fromkeys(words(rng, 1, 9) for _ in range(rng.randint(least, most))))
    place = rng.randrange(len(options))
    options[place] = str(index + 7)
    return stem, options, place


def math(rng: random.Random, index: int) -> DatasetRow:
    """A row of `nlile/hendrycks-MATH-benchmark`."""
    asked, answer = arithmetic(rng, index)
    subject, level = rng.choice(["Algebra", "Geometry", "Number Theory", "Precalculus"]), rng.randint(1, 5)
    length = (300, 500) if index % 60 == 0 else (5, 60)
    return {
        "problem": f"{words(rng, *length)}.\n\\[x = {asked}.\\]Find $x$.",
        "solution": f"We have $x = {asked} = \\boxed{{{answer}}}$.",
        "answer": answer,
        "subject": subject,
        "level": level,
        "unique_id": f"train/{subject.lower()}/{index}.json",
    }


def gsm8k(rng: random.Random, index: int) -> DatasetRow:
    """A row of `openai/gsm8k`."""
    boxes, each = rng.randint(2, 90), index + 2
    total = boxes * each
    return {
        "question": f"Mia has {boxes} boxes of {each} eggs. {words(rng, 10, 60).capitalize()}. How many eggs has she?",
        "answer": f"She has {boxes} * {each} = <<{boxes}*{each}={total}>>{total} eggs.\n#### {total:,}",
    }


def minerva(rng: random.Random, index: int) -> DatasetRow:
    """A row of `math-ai/minervamath`."""
    digits, power = rng.randint(11, 99) / 10, rng.randint(-30, 30)
    question = f"{words(rng, 20, 90)}. Object {index} has a mass of ${digits} \\times 10^{{{power}}}$ g. Which?"
    return {
        "question": question,
        "answer": f"{digits} \\times 10^{{{power}}} \\mathrm{{~g}}" if index % 2 else f"{digits}e{power}",
    }


def olympiadbench(rng: random.Random, index: int) -> DatasetRow:
    """A row of `math-ai/olympiadbench`; every third answer has two values."""
    root = index + 2
    several = index % 3 == 0
    return {
        "id": 1600 + index,
        "question": f"{words(rng, 10, 80)}. Solve $x^2 = {root**2}$" + ("." if several else " with $x > 0$."),
        "solution": [f"It is $x = \\pm {root}$."],
        "final_answer": [f"${root}$", f"$-{root}$"] if several else [f"${root}$"],
        "context": None,
        "modality": "Text-only",
        "difficulty": "Competition",
        "is_multiple_answer": several,
        "unit": None,
        "answer_type": "Numerical",
        "error": None,
        "question_type": "Open-ended",
        "subfield": rng.choice(["Algebra", "Combinatorics", "Geometry", "Number Theory"]),
        "subject": "Math",
        "language": "English",
    }


def amc23(rng: random.Random, index: int) -> DatasetRow:
    """A row of `math-ai/amc23`."""
    first, second = rng.randint(2, 99), rng.randint(2, 99)
    question = f"{words(rng, 10, 80)}. What is ${first} \\cdot {second}$?"
    return {"id": index, "question": question, "answer": str(first * second), "url": f"https://example.org/{index}"}


def gpqa(rng: random.Random, index: int) -> DatasetRow:
    """A row of `Idavidrein/gpqa`; the first rows of gpqa_main are those of gpqa_diamond."""
    stem, options, place = choices(rng, index, 12, 12)
    right = options.pop(place)
    domain = rng.choice(["Physics", "Chemistry", "Biology"])
    return {
        "Question": stem,
        "Correct Answer": right,
        **{f"Incorrect Answer {number}": options[number] for number in (1, 2, 3)},
        "Explanation": words(rng, 20, 60),
        "Subdomain": f"{domain} (general)",
        "High-level domain": domain,
        "Record ID": f"rec{index:06}",
    }


def mmlu(rng: random.Random, index: int) -> DatasetRow:
    """A row of `cais/mmlu`."""
    stem, options, place = choices(rng, index, 12, 12)
    right = options.pop(place)
    place = rng.randrange(4)
    return {
        "question": stem,
        "subject": rng.choice(SUBJECTS),
        "choices": [*options[:place], right, *options[place:3]],
        "answer": place,
    }


def mmlu_pro(rng: random.Random, index: int) -> DatasetRow:
    """A row of `TIGER-Lab/MMLU-Pro`, filled up with "N/A" to ten options."""
    stem, options, place = choices(rng, index, 3, 10)
    return {
        "question_id": index,
        "question": stem,
        "options": options + ["N/A"] * (10 - len(options)),
        "answer": LETTERS[place],
        "answer_index": place,
        "cot_content": "",
        "category": rng.choice(["business", "law", "math", "physics", "other"]),
        "src": "stand-in",
    }


def mmlu_redux(rng: random.Random, index: int) -> DatasetRow:
    """A row of `edinburgh-dawg/mmlu-redux-2.0`."""
    row = mmlu(rng, index)
    del row["subject"]
    return row | {"error_type": "ok", "source": "", "correct_answer": None, "potential_reason": None}


def supergpqa(rng: random.Random, index: int) -> DatasetRow:
    """A row of `m-a-p/SuperGPQA`."""
    stem, options, place = choices(rng, index, 4, 10)
    return {
        "uuid": f"{index:032x}",
        "question": stem,
        "options": options,
        "answer": options[place],
        "answer_letter": LETTERS[place],
        "discipline": rng.choice(["Science", "Engineering", "Law", "History"]),
        "field": "Field",
        "subfield": "Subfield",
        "difficulty": rng.choice(["easy", "middle", "hard"]),
        "is_calculation": False,
    }


MAKERS: tuple[Maker, ...] = (math, gsm8k, minerva, olympiadbench, amc23, gpqa, mmlu, mmlu_pro, mmlu_redux, supergpqa)


def crossthink_qa(schema: str) -> Maker:
    """Return the rows of `nvidia/Nemotron-CrossThink` (train_qa) in one of SCHEMAS."""

    def row(rng: random.Random, index: int) -> DatasetRow:
        if index % 500 == 1:  # a question of MMLU
            asked = mmlu(_rng("mmlu", index // 500), index // 500)
            return SCHEMAS[schema](asked["question"], asked["choices"], asked["answer"])
        if index % 500 == 2:  # the question before it once more
            return row(_rng("crossthink_qa", index - 1), index - 1)
        stem, options, place = choices(rng, index, 4, 10 if index % 100 else 12)
        if index % 10 == 3:  # open-ended
            return SCHEMAS[schema](stem, [], index + 7)
        return SCHEMAS[schema](stem, options, place)

    return row


def write_mirror(settings: Settings, folder: Path, schema: str, real: Path | None) -> dict[str, str]:
    """Write every dataset of `settings` to the mirror `folder`; return "copied" or "generated" for each file.

    Files that the mirror `real` has are copied. `schema` is the one of Nemotron-CrossThink-QA. Raises DataError for
    an unknown schema, for a dataset whose adapter has no stand-in, or whose number of rows is not set.
    """
    if schema not in SCHEMAS:
        raise DataError(f"no schema of Nemotron-CrossThink-QA {schema!r}: allowed are {', '.join(SCHEMAS)}")
    makers: dict[str, Maker] = {maker.__name__: maker for maker in MAKERS} | {"crossthink_qa": crossthink_qa(schema)}
    written: dict[str, str] = {}
    for name, source in [*settings.data.sources.items(), *settings.benchmarks.items()]:
        if source.dataset == "synthetic":
            continue
        if source.adapter not in makers or source.rows is None:
            raise DataError(f"{name}: no stand-in for {source.dataset}: adapter {source.adapter}, rows {source.rows}")
        if real and (files := mirror_files(source, str(real))):
            for path in files.values():
                place = path.relative_to(real)
                with replacing(folder / place) as temporary:
                    shutil.copyfile(path, temporary)
                written[str(place)] = "copied"
            continue
        for place, rows in _generated(source, makers[source.adapter]):
            with replacing(folder / place) as temporary, temporary.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            written[str(place)] = "generated"
    return written


def _generated(source: SourceSettings, maker: Maker) -> Iterator[tuple[Path, Iterable[DatasetRow]]]:
    """Yield each file of a dataset with its rows."""
    assert source.rows is not None
    root, count = Path(source.dataset), source.rows
    name = "math_test" if source.adapter == "math" and source.split == "test" else source.adapter
    if source.adapter == "mmlu_redux":
        each = count // len(SUBJECTS)
        for number, subject in enumerate(SUBJECTS):
            first, stop = number * each, (number + 1) * each if subject != SUBJECTS[-1] else count
            yield root / subject / f"{source.split}.jsonl", (maker(_rng(name, i), i) for i in range(first, stop))
    else:
        path = root / (source.subset or "") / f"{source.split}.jsonl"
        yield path, (maker(_rng(name, i), i) for i in range(count))


def _rng(name: str, index: int) -> random.Random:
    return random.Random(f"{name}:{index}")
