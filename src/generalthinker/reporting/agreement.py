"""Which of the compared runs answered a question right, in words; the comparisons are those of the tables."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from generalthinker.config.reporting import AverageTable, BenchmarkTable
from generalthinker.config.settings import Settings
from generalthinker.records import RunSpec
from generalthinker.reporting.cells import all_evaluations
from generalthinker.reporting.display import spoken


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs that are set side by side: `runs` is label → the run's name, in the table's order.

    `tables` are the names of the tables that compare exactly these runs; none for the comparison of all runs.
    """

    title: str
    tables: tuple[str, ...]
    runs: dict[str, str]

    def among(self, graded: Collection[str]) -> "Comparison":
        """Return the comparison of those runs that are in `graded`."""
        return replace(self, runs={label: run for label, run in self.runs.items() if run in graded})


def comparisons(settings: Settings) -> list[Comparison]:
    """Return one comparison per set of runs that a table shows, in the order of the tables, then one of all runs.

    The last one is left out where a table compares all runs. The label of a run is its heading in the table, followed
    by its seed where there are several; among all runs it is the one of the first table with the run, or else its name.
    """
    found: dict[frozenset[str], Comparison] = {}
    for table, spec in settings.tables.items():
        if not isinstance(spec, BenchmarkTable | AverageTable):
            continue
        headings = spec.sweep.headings() if spec.sweep is not None else {}
        runs: dict[str, str] = {}
        for key, choice in spec.choices.items():
            specs = settings.runs(choice)
            runs |= {_label(headings.get(key, key), run, len(specs)): run.name for run in specs}
        same = found.get(frozenset(runs.values()))
        if same is None:
            found[frozenset(runs.values())] = Comparison(f"{spoken(table)}: {spec.title}", (table,), runs)
        else:
            names = (*same.tables, table)
            title = f"{', '.join(map(spoken, names))}: {same.title.partition(': ')[2]}"
            found[frozenset(runs.values())] = Comparison(title, names, same.runs)
    evaluated = list(dict.fromkeys(run.name for run, _ in all_evaluations(settings)))
    if evaluated and frozenset(evaluated) not in found:
        found[frozenset(evaluated)] = Comparison("All runs", (), _labels_of_all(evaluated, list(found.values())))
    return list(found.values())


def agreement(labels: Sequence[str], right: Sequence[bool]) -> str:
    """Return which of the runs with these labels are right: one verdict per run, in the same order.

    >>> agreement("ABC", [True, True, True]), agreement("ABC", [False, False, False])
    ('all', 'none')
    >>> agreement("ABC", [False, True, False]), agreement("ABC", [True, False, True])
    ('only B', 'all but B')
    >>> agreement("ABCD", [True, True, False, False])
    '2 of 4'
    """
    answered = [label for label, is_right in zip(labels, right, strict=True) if is_right]
    failed = [label for label, is_right in zip(labels, right, strict=True) if not is_right]
    if not failed:
        return "all"
    if not answered:
        return "none"
    if len(answered) == 1:
        return f"only {answered[0]}"
    if len(failed) == 1:
        return f"all but {failed[0]}"
    return f"{len(answered)} of {len(labels)}"


def possible_agreements(labels: Sequence[str]) -> list[str]:
    """Return all that `agreement` can say about the runs with these labels: all, none, one, all but one, then counts.

    >>> possible_agreements("ABC")
    ['all', 'none', 'only A', 'only B', 'only C', 'all but A', 'all but B', 'all but C']
    """
    places = range(len(labels))
    rights = [[True] * len(labels), [False] * len(labels)]
    rights += [[place == only for place in places] for only in places]
    rights += [[place != missing for place in places] for missing in places]
    rights += [[place < count for place in places] for count in places]
    return list(dict.fromkeys(agreement(labels, right) for right in rights))


def _labels_of_all(runs: list[str], tables: list[Comparison]) -> dict[str, str]:
    first: dict[str, str] = {}
    for comparison in tables:
        for label, run in comparison.runs.items():
            first.setdefault(run, label)
    times = Counter(first.values())
    return {first[run] if times[first.get(run, "")] == 1 else run: run for run in runs}


def _label(heading: str, run: RunSpec, seeds: int) -> str:
    return heading if seeds == 1 else f"{heading}, seed {run.seed}"
