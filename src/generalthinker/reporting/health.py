"""Evaluation health: how many responses could not be compared with the reference answer, by run, benchmark and reason.

A wrong verdict has the reason `different` where an answer was compared. All other reasons of wrong verdicts say that
there was no answer to compare, such as `no_box`, or none in a form that counts, such as `not_an_option`.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from generalthinker.config.settings import Settings
from generalthinker.files import read_columns
from generalthinker.paths import Layout
from generalthinker.records import slug
from generalthinker.reporting.cells import all_evaluations

COMPARED = "different"
NOTICED = 5.0  # percent of a benchmark's responses, from which the report names a reason in words


@dataclass(slots=True)
class Health:
    """Counts of one run's responses to one benchmark, or to all of them; `failures` is reason → responses."""

    run: str
    responses: int = 0
    correct: int = 0
    tokens: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def share(self, reason: str) -> float:
        """Return the responses with this reason in percent of all."""
        return 100 * self.failures[reason] / max(1, self.responses)

    @property
    def failed(self) -> float:
        """The responses with any of these reasons, in percent of all."""
        return 100 * self.failures.total() / max(1, self.responses)

    def add(self, other: "Health") -> None:
        """Add the counts of other responses of the same run."""
        self.responses += other.responses
        self.correct += other.correct
        self.tokens += other.tokens
        self.failures += other.failures


@dataclass(frozen=True, slots=True)
class HealthTable:
    """`groups` is benchmark → a line per run, `whole` has each run's lines added up.

    `reasons` are those of the failures, the most frequent first.
    """

    reasons: list[str]
    whole: list[Health]
    groups: dict[str, list[Health]]

    def noticed(self) -> list[str]:
        """Return one sentence per benchmark where a reason has at least `NOTICED` percent of any run's responses."""
        sentences = []
        for benchmark, lines in self.groups.items():
            parts = []
            for reason in self.reasons:
                shares = [line.share(reason) for line in lines]
                many = sum(share >= NOTICED for share in shares)
                if many:
                    found = f"{min(shares):.1f} to {max(shares):.1f} %" if len(lines) > 1 else f"{shares[0]:.1f} %"
                    parts.append(f"{reason} {found} (at least {NOTICED:g} % in {many} of {len(lines)} runs)")
            if parts:
                sentences.append(f"{benchmark}: {', '.join(parts)}")
        return sentences


def health(settings: Settings) -> HealthTable:
    """Return the counts of all evaluated runs from the grades that exist, in the order of the configuration."""
    layout = Layout(settings.results)
    found: dict[str, dict[str, Health]] = {}  # benchmark → run → counts
    for run, suite in all_evaluations(settings):
        path = layout.grades(run.name, slug(suite))
        if Path(path).exists():
            for benchmark, counts in _counts(path, run.name).items():
                found.setdefault(benchmark, {})[run.name] = counts
    groups = {name: list(found[name].values()) for name in settings.benchmarks if name in found}
    whole: dict[str, Health] = {}
    for lines in groups.values():
        for line in lines:
            whole.setdefault(line.run, Health(line.run)).add(line)
    total: Counter[str] = sum((line.failures for line in whole.values()), Counter())
    return HealthTable([reason for reason, _ in total.most_common()], list(whole.values()), groups)


def _counts(path: str, run: str) -> dict[str, Health]:
    """Return benchmark → counts of the responses in one file of grades."""
    columns, _ = read_columns(path, ["benchmark", "correct", "reason", "tokens"])
    counts: dict[str, Health] = {}
    verdicts = Counter(zip(columns["benchmark"], columns["correct"], columns["reason"], strict=True))
    for (benchmark, correct, reason), number in verdicts.items():
        line = counts.setdefault(benchmark, Health(run))
        line.responses += number
        line.correct += number if correct else 0
        if not correct and reason != COMPARED:
            line.failures[reason] += number
    for benchmark, tokens in zip(columns["benchmark"], columns["tokens"], strict=True):
        counts[benchmark].tokens += tokens
    return counts
