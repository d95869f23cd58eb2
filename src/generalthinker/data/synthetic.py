"""Generate the demo's questions: eight small tasks in two groups; every row has a worked solution and a wrong guess.

The questions of a task are what `draw` returns for the indices 0 … `draws` - 1, so they do not depend on the seed. A
hash of its text decides the split of a question, so two splits never share a question.
"""

import functools
import hashlib
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from generalthinker.records import LETTERS

SyntheticRow = dict[str, Any]

OPTION_LETTERS = LETTERS[:4]
# The upper bound of each split in percent of all hash values; pre-training needs the most questions.
SPLITS = {"pretrain": 65, "train": 82, "validation": 87, "test": 100}

KINDS = {
    "tree": ["oak", "fir", "ash", "pine", "palm"],
    "animal": ["cat", "dog", "cow", "hen", "bear"],
    "tool": ["saw", "axe", "pin", "nail", "rake"],
    "food": ["jam", "pie", "rice", "corn", "egg"],
}
NAMES = ["Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal", "Ida", "Jim"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


@dataclass(frozen=True, slots=True)
class Draft:
    """One question before its options get letters; `wrong` has wrong answers, `steps` the reasoning before the box."""

    stem: str
    answer: str
    wrong: list[str]
    steps: str
    options: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of question; `draw` makes a draft with a random generator whose seed is the question's index."""

    name: str
    group: Literal["arithmetic", "general"]
    answer_type: Literal["mcq", "math"]
    draw: Callable[[random.Random], Draft]
    draws: int = 12_000


def _near(rng: random.Random, value: int) -> list[str]:
    """Return four wrong but plausible numbers, none negative, that differ from `value` by 1 to 3 or by 9 to 11."""
    offsets = [-11, -10, -9, -3, -2, -1, 1, 2, 3, 9, 10, 11]
    return [str(number) for number in rng.sample([value + offset for offset in offsets if value + offset >= 0], 4)]


def _choice(rng: random.Random, stem: str, answer: str, others: list[str], steps: Callable[[list[str]], str]) -> Draft:
    """Return a multiple-choice draft with the options in random order; `steps` gets them in that order."""
    options = rng.sample([answer, *others], 4)
    return Draft(stem, answer, others, steps(options), options)


def _chain(rng: random.Random, first: int, signs: str) -> Draft:
    """Return a draft that adds small numbers to `first` (sign "+") or subtracts them ("-")."""
    total, stem, steps = first, str(first), []
    for sign in signs:
        digit = rng.randint(1, 6)
        before, total = total, total + digit if sign == "+" else total - digit
        stem += f"{sign}{digit}"
        steps.append(f"{before}{sign}{digit}={total}.")
    return Draft(f"What is {stem}?", str(total), _near(rng, total), " ".join(steps))


def _sum(rng: random.Random) -> Draft:
    return _chain(rng, rng.randint(1, 6), "+" * rng.randint(3, 4))


def _difference(rng: random.Random) -> Draft:
    return _chain(rng, rng.randint(20, 69), "---")


def _sequence(rng: random.Random) -> Draft:
    start, step, shown, sign = rng.randint(40, 129), rng.randint(1, 6), rng.randint(3, 6), rng.choice("+-")
    *terms, answer = (start + int(f"{sign}{step}") * place for place in range(shown + 1))
    steps = f"{terms[0]}{sign}{step}={terms[1]}. {terms[-1]}{sign}{step}={answer}."
    return Draft(f"Which number follows {','.join(map(str, terms))}?", str(answer), _near(rng, answer), steps)


def _reverse(rng: random.Random) -> Draft:
    digits = [str(rng.randint(1, 9)) for _ in range(rng.randint(4, 6))]
    if len(set(digits)) < 3:
        digits[:3] = "123"
    backwards = digits[::-1]
    answer = "".join(backwards)
    swapped = ["".join([*backwards[:i], *backwards[i : i + 2][::-1], *backwards[i + 2 :]]) for i in range(3)]
    wrong = [number for number in dict.fromkeys([*swapped, "".join(digits)]) if number != answer]
    return Draft(f"Write {''.join(digits)} backwards.", answer, wrong, f"From the end: {','.join(backwards)}.")


def _walk(options: list[str], answer: str, seen: Callable[[str], str] = str) -> str:
    """Return reasoning that checks the options in order; `seen` turns an option into the text written about it."""
    return " ".join(
        f"{letter} {seen(option)} {'yes' if option == answer else 'no'}."
        for letter, option in zip(OPTION_LETTERS, options, strict=True)
    )


def _largest(rng: random.Random) -> Draft:
    numbers = [str(number) for number in rng.sample(range(10), 4)]
    answer = max(numbers)

    def steps(options: list[str]) -> str:
        best, *others = (letter + option for letter, option in zip(OPTION_LETTERS, options, strict=True))
        parts = []
        for other in others:
            parts.append(f"{best}{'>' if best[1] > other[1] else '<'}{other}.")
            best = max(best, other, key=lambda label: label[1])
        return " ".join(parts)

    return _choice(rng, "Which number is the largest?", answer, [n for n in numbers if n != answer], steps)


def _category(rng: random.Random) -> Draft:
    kind = rng.choice(sorted(KINDS))
    kind_of = {word: name for name, words in KINDS.items() for word in words}
    answer, others = rng.choice(KINDS[kind]), rng.sample([word for word in kind_of if kind_of[word] != kind], 3)
    steps = functools.partial(_walk, answer=answer, seen=kind_of.__getitem__)
    return _choice(rng, f"Which one is a kind of {kind}?", answer, others, steps)


def _order(rng: random.Random) -> Draft:
    people = rng.sample(NAMES, 4)
    facts = [f"{older} is older than {younger}." for older, younger in itertools.pairwise(people)]
    rng.shuffle(facts)
    rank, ordered = rng.choice((("oldest", people[::-1]), ("youngest", people)))
    met = ordered[ordered.index(facts[0].split()[0]) :]
    stem, answer = f"{' '.join(facts)} Who is the {rank}?", ordered[-1]

    def steps(options: list[str]) -> str:
        return f"From {', '.join(met)}. {_walk(options, answer)}"

    return _choice(rng, stem, answer, ordered[:-1], steps)


def _calendar(rng: random.Random) -> Draft:
    today, later = rng.randrange(7), rng.randint(2, 6)
    passed = [DAYS[(today + day) % 7] for day in range(1, later + 1)]
    others = rng.sample([day for day in DAYS if day != passed[-1]], 3)
    count = f"{', '.join(f'{day}{number}' for number, day in enumerate(passed, 1))}."

    def steps(options: list[str]) -> str:
        return f"Count: {count} {_walk(options, passed[-1])}"

    return _choice(rng, f"Today is {DAYS[today]}. Which day is it in {later} days?", passed[-1], others, steps)


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("sum", "arithmetic", "math", _sum),
        Task("difference", "arithmetic", "math", _difference),
        Task("sequence", "arithmetic", "math", _sequence),
        Task("reverse", "arithmetic", "math", _reverse),
        Task("largest", "general", "mcq", _largest),
        Task("category", "general", "mcq", _category),
        Task("order", "general", "mcq", _order),
        Task("calendar", "general", "mcq", _calendar),
    )
}


def split_of(question: str) -> str:
    """Return the split of a question, given its text."""
    percent = int.from_bytes(hashlib.sha256(question.encode()).digest()[:8]) % 100
    return next(split for split, bound in SPLITS.items() if percent < bound)


def _row(task: Task, draft: Draft, rng: random.Random) -> SyntheticRow:
    """Return the row of a draft, in which the options have letters; `rng` picks the wrong guess."""
    answer, wrong, question, letter = draft.answer, rng.choice(draft.wrong), draft.stem, None
    if draft.options is not None:
        letter = OPTION_LETTERS[draft.options.index(draft.answer)]
        labelled = {text: f"{name}. {text}" for name, text in zip(OPTION_LETTERS, draft.options, strict=True)}
        question = "\n\n".join([draft.stem, *labelled.values()])
        answer, wrong = labelled[answer], labelled[wrong]
    return {
        "id": f"{task.name}-{hashlib.sha256(question.encode()).hexdigest()[:12]}",
        "question": question,
        "answer": answer,
        "answer_type": task.answer_type,
        "options": draft.options,
        "answer_letter": letter,
        "domain": task.name,
        "solution": f"{draft.steps} \\boxed{{{answer}}}",
        "guess": f"I guess \\boxed{{{wrong}}}",
    }


def _distinct(task: Task, split: str, seed: int) -> Iterator[SyntheticRow]:
    """Yield every question of one task's split once; the seed decides the order."""
    order = random.Random(f"order:{seed}:{task.name}")
    seen: set[str] = set()
    for index in order.sample(range(task.draws), task.draws):
        draft = task.draw(random.Random(f"question:{task.name}:{index}"))
        row = _row(task, draft, order)
        if row["question"] not in seen and split_of(row["question"]) == split:
            seen.add(row["question"])
            yield row


def rows(subset: str | None, split: str, count: int, seed: int) -> list[SyntheticRow]:
    """Return `count` distinct questions of one task (`subset`), or of all tasks in equal shares (None).

    The splits "pretrain", "train", "validation" and "test" share no question, whatever `count` and `seed`. Raises
    ValueError for an unknown task or split, and if the split has fewer questions than requested.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
    if subset is not None and subset not in TASKS:
        raise ValueError(f"unknown synthetic task {subset!r}; expected one of {', '.join(TASKS)}")
    names = list(TASKS) if subset is None else [subset]
    chosen: list[SyntheticRow] = []
    for place, name in enumerate(names):
        share = count // len(names) + (place < count % len(names))
        drawn = list(itertools.islice(_distinct(TASKS[name], split, seed), share))
        if len(drawn) < share:
            raise ValueError(
                f"synthetic task {name!r}: {share} questions of split {split!r} are needed, but only {len(drawn)} "
                "exist; set a smaller `rows`"
            )
        chosen += drawn
    random.Random(f"shuffle:{seed}:{split}").shuffle(chosen)
    return chosen
