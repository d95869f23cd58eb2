"""Generate the demo's questions: eight small tasks in two groups, each with levels of difficulty.

A row has a worked solution, the same solution with one wrong step from which all later steps follow, and a wrong guess.
Each step is a line. The guess is what the question shows first: where a guess could be anything, the likelihood of the
right answer after it is higher than after reasoning that is often wrong, and a likelihood reward teaches to guess.

The questions of a task are what `draw` returns for the indices 0 … `draws` - 1, so they do not depend on the seed. A
hash of its text decides the split of a question, so two splits never share a question.
"""

import hashlib
import itertools
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from generalthinker.records import LETTERS

SyntheticRow = dict[str, Any]

LEVELS = (1, 2, 3, 4)
OPTION_LETTERS = LETTERS[:4]
# The upper bound of each split in percent of all hash values; pre-training needs the most questions.
SPLITS = {"pretrain": 65, "train": 82, "validation": 87, "test": 100}

# The words of each kind, by level: the longer a level's list, the less often pre-training shows each of its words.
KINDS = {
    "tree": [
        "oak fir ash",
        "pine palm elm yew",
        "birch cedar maple larch willow beech alder holly aspen yucca",
        "hazel rowan laurel linden poplar walnut olive plum spruce cypress mulberry baobab ginkgo almond cherry fig",
    ],
    "animal": [
        "cat dog cow",
        "hen pig fox owl",
        "wolf goat duck lion deer bear frog seal mole crab",
        "otter camel horse mouse badger rabbit tiger zebra eagle snail lizard monkey turtle donkey parrot beaver",
    ],
    "tool": [
        "saw axe pin",
        "nail rake file hoe",
        "hammer chisel wrench drill shovel bolt clamp plane level wedge",
        "trowel mallet lathe anvil lever crowbar ladder needle scissors pliers spanner bucket "
        "sickle pulley gimlet tongs",
    ],
    "food": [
        "jam pie egg",
        "rice corn soup ham",
        "bread cheese butter honey toast cake stew bacon pasta salad",
        "noodle pizza bagel muffin pudding biscuit waffle omelette burger yoghurt porridge sandwich "
        "burrito pancake sausage cereal",
    ],
}
NAMES = ["Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus", "Hal", "Ida", "Jim"]
MONTHS = [
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
]

# By level: the largest number that is added or subtracted, and how many are.
ADDED = ((9, 2), (9, 3), (9, 4), (39, 1))


class Working:
    """The written lines of a solution; at the place `wrong_at` (counted from 0) a wrong value is found and used.

    `places` counts the values that were found, and `mistake` is the wrong one's range of characters in `text`.
    """

    def __init__(self, rng: random.Random | None = None, wrong_at: int | None = None) -> None:
        self.text = ""
        self.places = 0
        self.mistake: tuple[int, int] | None = None
        self._rng, self._wrong_at = rng, wrong_at

    def write(self, text: str) -> None:
        """Append `text`."""
        self.text += text

    def find(self, right: str, wrong: Sequence[str]) -> str:
        """Append the value that is found here and return it: `right`, or one of `wrong` at the wrong place."""
        value = right
        if self.places == self._wrong_at and self._rng is not None:
            value = self._rng.choice([other for other in wrong if other != right])
            self.mistake = (len(self.text), len(self.text) + len(value))
        self.places += 1
        self.text += value
        return value


@dataclass(frozen=True, slots=True)
class Draft:
    """One question before its options get letters; `solve` writes the lines and returns the answer they lead to."""

    stem: str
    solve: Callable[[Working], str]
    options: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of question; `draw` makes a draft of a level; its random generator's seed is the question's index.

    Pre-training sees a question of level n with probability `familiarity` / n, or every one of them if that is above 1.
    """

    name: str
    group: Literal["arithmetic", "general"]
    answer_type: Literal["mcq", "math"]
    draw: Callable[[random.Random, int], Draft]
    familiarity: float = 1.0
    draws: int = 12_000


def _near(value: int) -> list[str]:
    """Return wrong but plausible numbers in place of `value`, none negative."""
    return [str(value + offset) for offset in (-10, -2, -1, 1, 2, 10) if value + offset >= 0]


def _chain(first: int, terms: list[int]) -> Draft:
    """Return a draft that adds `terms` to `first`, one after the other."""

    def solve(working: Working) -> str:
        total = first
        for term in terms:
            working.write(f"{total}{term:+d}=")
            total = int(working.find(str(total + term), _near(total + term)))
            working.write("\n")
        return str(total)

    return Draft(f"What is {first}{''.join(f'{term:+d}' for term in terms)}?", solve)


def _walk(working: Working, options: list[str], right: str, seen: Callable[[str], str] | None = None) -> str:
    """Write for each option whether it is `right`, until one is, and return that option, or the last one.

    If `seen` is given, it says what is seen in an option, and this is found first and compared with `right`. A label
    begins its line, so that it is the same token as in the question.
    """
    working.write(f"Find {right}\n")
    for letter, option in zip(OPTION_LETTERS, options, strict=True):
        working.write(f"{letter} {option} ")
        found = option
        if seen is not None:
            found = working.find(seen(option), sorted(KINDS))
            working.write(" ")
        verdict = working.find("yes" if found == right else "no", ("no", "yes"))
        working.write("\n")
        if verdict == "yes":
            return option
    return options[-1]


def _sum(rng: random.Random, level: int) -> Draft:
    highest, terms = ADDED[level - 1]
    return _chain(rng.randint(1, highest), [rng.randint(1, highest) for _ in range(terms)])


def _difference(rng: random.Random, level: int) -> Draft:
    highest, terms = ADDED[level - 1]
    lowest = highest * terms + 1
    return _chain(rng.randint(lowest, lowest + 9), [-rng.randint(1, highest) for _ in range(terms)])


def _sequence(rng: random.Random, level: int) -> Draft:
    step, first = 2 * level - rng.randint(0, 1), rng.randint(1, 89)
    shown = [first + step * place for place in range(rng.randint(3, 7))]

    def solve(working: Working) -> str:
        working.write(f"{shown[-1]}-{shown[-2]}=")
        found = working.find(str(step), [str(n) for n in range(step - 2, step + 3) if n > 0])
        working.write(f"\n{shown[-1]}+{found}=")
        value = shown[-1] + int(found)
        reached = working.find(str(value), _near(value))
        working.write("\n")
        return reached

    return Draft(f"Which number follows {','.join(map(str, shown))}?", solve)


def _rank(rng: random.Random, level: int) -> Draft:
    numbers = rng.sample(range(10, 100), level + 2)
    rank = rng.randint(max(1, level - 1), level)
    ordered = sorted(numbers)

    def solve(working: Working) -> str:
        for place in range(rank):
            working.write(f"{place + 1} ")
            found = working.find(str(ordered[place]), list(map(str, numbers)))
            working.write("\n")
        return found

    listed = ",".join(map(str, numbers))
    return Draft(f"Which number is at place {rank} of {listed} in order?", solve)


def _largest(rng: random.Random, level: int) -> Draft:
    # The higher the level, the fewer different tens the options have; at the highest they have three digits.
    tens = rng.choices(rng.sample(range(1, 10), max(2, 5 - level)), k=4)
    hundred = "1" if level == 4 else ""
    options = [f"{hundred}{ten}{unit}" for ten, unit in zip(tens, rng.sample(range(10), 4), strict=True)]

    def solve(working: Working) -> str:
        best, *others = (letter + option for letter, option in zip(OPTION_LETTERS, options, strict=True))
        for other in others:
            working.write(best)
            sign = working.find(">" if int(best[1:]) > int(other[1:]) else "<", "<>")
            working.write(f"{other}\n")
            best = best if sign == ">" else other
        working.write(f"{best}\n")
        return best[1:]

    return Draft("Which number is the largest?", solve, options)


def _category(rng: random.Random, level: int) -> Draft:
    kind = rng.choice(sorted(KINDS))
    kind_of = {word: name for name, levels in KINDS.items() for word in levels[level - 1].split()}
    words = sorted(kind_of)
    others = rng.sample([word for word in words if kind_of[word] != kind], 3)
    options = rng.sample([rng.choice([word for word in words if kind_of[word] == kind]), *others], 4)

    def solve(working: Working) -> str:
        return _walk(working, options, kind, kind_of.__getitem__)

    return Draft(f"Which one is a kind of {kind}?", solve, options)


def _looked_up(rng: random.Random, stem: str, asked: str, answer: str, values: Sequence[str]) -> Draft:
    """Return a draft with four of `values` as options; the value that is `asked` for is found first."""
    options = rng.sample([answer, *rng.sample([value for value in values if value != answer], 3)], 4)

    def solve(working: Working) -> str:
        working.write(f"{asked} ")
        found = working.find(answer, values)
        working.write("\n")
        return _walk(working, options, found)

    return Draft(stem, solve, options)


def _order(rng: random.Random, level: int) -> Draft:
    # At level 4 the place is counted from the end.
    people, place = rng.sample(NAMES, level + 4), rng.randint(*((1, 2), (3, 4), (5, 6), (2, 6))[level - 1])
    asked = f"{place}{'' if level < 4 else ' from the end'}"
    answer = people[place - 1 if level < 4 else -place]
    return _looked_up(rng, f"In a row are {' '.join(people)}. Who is at place {asked}?", asked, answer, people)


def _calendar(rng: random.Random, level: int) -> Draft:
    # One month ahead at level 1, two or three at 2, four to six at 3, and as many back at 4.
    now, count = rng.randrange(12), rng.randint(*((1, 1), (2, 3), (4, 6), (4, 6))[level - 1])
    months = f"{count} {'month' if count == 1 else 'months'}"
    question = f"Which month is it in {months}?" if level < 4 else f"Which month was it {months} ago?"
    asked = f"{count} {'after' if level < 4 else 'before'} {MONTHS[now]}"
    answer = MONTHS[(now + (count if level < 4 else -count)) % 12]
    return _looked_up(rng, f"It is {MONTHS[now]}. {question}", asked, answer, MONTHS)


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("sum", "arithmetic", "math", _sum),
        Task("difference", "arithmetic", "math", _difference),
        Task("sequence", "arithmetic", "math", _sequence),
        Task("rank", "arithmetic", "math", _rank),
        Task("largest", "general", "mcq", _largest, familiarity=2.0),
        Task("category", "general", "mcq", _category, familiarity=0.5),
        Task("order", "general", "mcq", _order),
        Task("calendar", "general", "mcq", _calendar),
    )
}


def split_of(question: str) -> str:
    """Return the split of a question, given its text."""
    percent = int.from_bytes(hashlib.sha256(question.encode()).digest()[:8]) % 100
    return next(split for split, bound in SPLITS.items() if percent < bound)


def _mistaken(draft: Draft, answer: str, places: int, rng: random.Random) -> tuple[Working, str]:
    """Return a working of `draft` with one wrong step, and the wrong answer to which it leads."""
    for _ in range(200):
        working = Working(rng, rng.randrange(places))
        reached = draft.solve(working)
        if reached != answer and (reached in draft.options if draft.options else reached.isdecimal()):
            return working, reached
    raise AssertionError(f"no wrong step of {draft.stem!r} changes the answer {answer!r}")


def _row(task: Task, level: int, draft: Draft, rng: random.Random) -> SyntheticRow:
    """Return the row of a draft, in which the options have letters; `rng` picks the wrong step.

    The guess is the first option or the first number of the question, or the second one if the first is right.
    """
    working = Working()
    answer = draft.solve(working)
    mistaken, reached = _mistaken(draft, answer, working.places, rng)
    guess = next(one for one in draft.options or re.findall(r"\d+", draft.stem) if one != answer)
    question, letter = draft.stem, None
    if draft.options is not None:
        letter = OPTION_LETTERS[draft.options.index(answer)]
        labelled = {text: f"{name}. {text}" for name, text in zip(OPTION_LETTERS, draft.options, strict=True)}
        question = "\n\n".join([draft.stem, *labelled.values()])
        answer, reached, guess = labelled[answer], labelled[reached], labelled[guess]
    return {
        "id": f"{task.name}-{level}-{hashlib.sha256(question.encode()).hexdigest()[:12]}",
        "question": question,
        "answer": answer,
        "answer_type": task.answer_type,
        "options": draft.options,
        "answer_letter": letter,
        "domain": task.name,
        "level": level,
        "solution": f"{working.text}\\boxed{{{answer}}}",
        "slip": f"{mistaken.text}\\boxed{{{reached}}}",
        "mistake": mistaken.mistake,
        "guess": f"I guess\n\\boxed{{{guess}}}",
    }


def _distinct(task: Task, split: str, seed: int) -> Iterator[SyntheticRow]:
    """Yield every question of one task's split once; the seed decides the order."""
    order = random.Random(f"order:{seed}:{task.name}")
    seen: set[str] = set()
    for index in order.sample(range(task.draws), task.draws):
        level = LEVELS[index % len(LEVELS)]
        draft = task.draw(random.Random(f"question:{task.name}:{index}"), level)
        row = _row(task, level, draft, order)
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
