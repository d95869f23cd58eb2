"""Differences of the accuracies of two runs, question by question: intervals, tests, and what they allow to say.

Two runs answer the same questions, so their difference is known better than the interval of each suggests (Miller,
arXiv 2411.00640). Where each run is one training and the benchmark is one of unrelated questions, the test is McNemar's
exact one and the interval Bonett and Price's (2012). Otherwise the mean difference has a standard error clustered by
question, or by subject, and by training seed (Cameron, Gelbach and Miller, 2011), and Student's t distribution with
Satterthwaite's (1946) degrees of freedom. The p-values of a family are adjusted by Holm's method.
"""

from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.regression.linear_model import WLS
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.sandwich_covariance import cov_cluster, cov_cluster_2groups

from generalthinker.config.settings import Settings
from generalthinker.files import read_columns, replacing, write_text
from generalthinker.paths import Layout
from generalthinker.records import slug
from generalthinker.reporting.display import signed, signed_interval, spoken
from generalthinker.reporting.families import CANNOT_TELL, HIGHER, LOWER, SAME, families
from generalthinker.reporting.measure import GradeFiles, IncompleteResultsError
from generalthinker.reporting.statistics import Z95
from generalthinker.reporting.tables import Cell

# With fewer clusters their standard error is too small; then questions are taken as unrelated.
FEWEST_SUBJECTS = 10
LEVEL = 0.05
EXACT = "McNemar exact, Bonett-Price interval"


@dataclass(frozen=True, slots=True)
class Difference:
    """The accuracy of `run` minus that of `compared_with`; everything but the p-values and counts is in points.

    `only_run` and `only_other` are the shares of questions that one of the two answers correctly alone. `ci_low` and
    `ci_high` are NaN where several benchmarks or seeds show no variation between questions.
    """

    difference: float
    ci_low: float
    ci_high: float
    p: float
    only_run: float
    only_other: float
    questions: int
    clusters: int
    seeds: int
    test: str


@dataclass(frozen=True, slots=True)
class Answers:
    """The share of correct responses to each question: per benchmark an array (seeds, questions), in a common order.

    It is 0 or 1 where a question has one response.
    """

    right: list[np.ndarray]


class Questions:
    """The questions of the benchmarks, and which of them belong together."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._read: dict[str, dict[str, tuple[str, str]]] = {}

    def clusters(self, benchmark: str, ids: list[str]) -> np.ndarray:
        """Return the cluster of each question (questions,): its subject if these have ten or more, else its text.

        A question that two benchmarks share is one cluster. Raises IncompleteResultsError if there are no questions.
        """
        if benchmark not in self._read:
            path = Path(Layout(self.settings.results).benchmark(slug(benchmark)))
            if not path.exists():
                raise IncompleteResultsError(f"{path}: no such file; run `snakemake {path}` first")
            columns, _ = read_columns(path, ["id", "question", "domain"])
            described = zip(map(str, columns["question"]), map(str, columns["domain"]), strict=True)
            self._read[benchmark] = dict(zip(map(str, columns["id"]), described, strict=True))
        texts, subjects = zip(*(self._read[benchmark][id] for id in ids), strict=True)
        return np.array(subjects if len(set(subjects)) >= FEWEST_SUBJECTS else texts)


def differences(settings: Settings, table: str) -> pd.DataFrame:
    """Return one line per compared pair of runs of `table`: the columns of `Difference`, adjusted p-value and verdict.

    `verdict` is "higher" or "lower" where Holm's adjusted p-value is below 0.05, else "same" where the interval lies
    within the settings' `equivalence_margin`, else "cannot tell". Raises IncompleteResultsError if grades or questions
    are not there.
    """
    grades, questions = GradeFiles(settings), Questions(settings)
    lines = []
    for family in families(settings, table):
        benchmarks = next(iter(family.cells.values())).benchmarks
        order = [sorted(grades.shares(next(iter(family.cells.values())).runs[0], name)) for name in benchmarks]
        clusters = [questions.clusters(name, ids) for name, ids in zip(benchmarks, order, strict=True)]
        answers = {run: _answers(grades, cell, order) for run, cell in family.cells.items()}
        found = [compare(answers[run], answers[other], clusters) for run, other in family.pairs]
        adjusted = multipletests([difference.p for difference in found], method="holm")[1]
        for (run, other), difference, p_holm in zip(family.pairs, found, adjusted, strict=True):
            place = {"table": table, "group": family.group, "row": family.label, "run": run, "compared_with": other}
            verdict = _verdict(difference, p_holm, settings.equivalence_margin)
            lines.append(place | asdict(difference) | {"p_holm": p_holm, "verdict": verdict})
    columns = ["table", "group", "row", "run", "compared_with", *Difference.__slots__, "p_holm", "verdict"]
    return pd.DataFrame(lines, columns=columns)


def _verdict(difference: Difference, p_holm: float, margin: float) -> str:
    if p_holm < LEVEL:
        return HIGHER if difference.difference > 0 else LOWER
    # The interval of equal answers to several benchmarks or seeds is unknown (NaN), and not within the margin.
    return SAME if -margin <= difference.ci_low and difference.ci_high <= margin else CANNOT_TELL


def compare(first: Answers, second: Answers, clusters: list[np.ndarray]) -> Difference:
    """Return the difference of two runs on the same questions.

    `clusters` name each question's cluster, per benchmark an array (questions,). A run that has no seeds, so only one
    line of answers, is compared with each seed of the other.
    """
    seeds = max(first.right[0].shape[0], second.right[0].shape[0])
    pairs = [(np.asarray(a, float), np.asarray(b, float)) for a, b in zip(first.right, second.right, strict=True)]
    only_first = float(np.mean([np.mean(np.maximum(a - b, 0)) for a, b in pairs]))
    only_second = float(np.mean([np.mean(np.maximum(b - a, 0)) for a, b in pairs]))
    gaps = [np.broadcast_to(a - b, (seeds, a.shape[1])) for a, b in pairs]
    names = np.concatenate(clusters)
    alone = len(set(names)) == len(names)
    once = all(np.isin(gap, (-1, 0, 1)).all() for gap in gaps)  # one response per question
    if seeds == 1 and len(gaps) == 1 and alone and once:
        difference, low, high, p = _exact(gaps[0][0])
        test = EXACT
    else:
        difference, low, high, p = _clustered(gaps, names, seeds)
        test = f"t, clustered by {'question' if alone else 'subject'}{' and seed' if seeds > 1 else ''}"
    return Difference(
        difference=100 * difference,
        ci_low=100 * low,
        ci_high=100 * high,
        p=p,
        only_run=100 * only_first,
        only_other=100 * only_second,
        questions=len(names),
        clusters=len(set(names)),
        seeds=seeds,
        test=test,
    )


def _exact(gaps: np.ndarray) -> tuple[float, float, float, float]:
    """Return difference, interval and p-value of one benchmark and one training per run; `gaps` are -1, 0 or 1."""
    better, worse, total = int((gaps > 0).sum()), int((gaps < 0).sum()), len(gaps)
    p = float(mcnemar([[0, better], [worse, 0]], exact=True).pvalue) if better + worse else 1.0
    # Bonett and Price add one question to each kind of discordant answers.
    up, down = (better + 1) / (total + 2), (worse + 1) / (total + 2)
    spread = Z95 * sqrt((up + down - (up - down) ** 2) / (total + 2))
    return (better - worse) / total, max(up - down - spread, -1.0), min(up - down + spread, 1.0), min(p, 1.0)


def _clustered(gaps: list[np.ndarray], names: np.ndarray, seeds: int) -> tuple[float, float, float, float]:
    """Return difference, interval and p-value of the unweighted mean over benchmarks; `gaps` are (seeds, questions)."""
    values = np.concatenate([gap.ravel() for gap in gaps])
    weights = np.concatenate([np.full(gap.size, 1 / gap.shape[1]) for gap in gaps])
    ends = np.cumsum([gap.shape[1] for gap in gaps])[:-1]
    by_question = np.concatenate(
        [np.tile(part, seeds) for part in np.split(np.unique(names, return_inverse=True)[1], ends)]
    )
    by_seed = np.concatenate([np.repeat(np.arange(seeds), gap.shape[1]) for gap in gaps])
    fit = WLS(values, np.ones_like(values), weights=weights).fit()
    difference = float(fit.params[0])
    count = len(set(by_question))
    if count == 1 or np.ptp(values) == 0:
        # Nothing varies. Where one run alone is right in every cluster, the sign test has this p-value.
        return difference, float("nan"), float("nan"), 1.0 if difference == 0 else min(1.0, 2 * 0.5**count)
    freedoms = [count - 1]
    if seeds == 1:
        variances = [float(cov_cluster(fit, by_question)[0, 0])]
        variance = variances[0]
    else:
        both, of_questions, of_seeds = (float(v[0, 0]) for v in cov_cluster_2groups(fit, by_question, by_seed))
        variances, freedoms = [of_questions, of_seeds], [*freedoms, seeds - 1]
        # The estimate of both can be smaller than one of its parts, even negative.
        variance = max(both, *variances)
    freedom = variance**2 / sum(part**2 / free for part, free in zip(variances, freedoms, strict=True))
    error = sqrt(variance)
    spread = float(stats.t.ppf(0.975, freedom)) * error
    p = float(2 * stats.t.sf(abs(difference) / error, freedom))
    return difference, max(difference - spread, -1.0), min(difference + spread, 1.0), p


def _answers(grades: GradeFiles, cell: Cell, order: list[list[str]]) -> Answers:
    right = []
    for name, ids in zip(cell.benchmarks, order, strict=True):
        shares = [grades.shares(run, name) for run in cell.runs]
        right.append(np.array([[of_run[id] for id in ids] for of_run in shares]))
    return Answers(right)


def write_differences(settings: Settings, table: str, csv: Path, md: Path) -> None:
    """Write the differences of `table` as CSV and as Markdown."""
    frame = differences(settings, table)
    with replacing(csv) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n", float_format="%.6g")
    write_text(md, _markdown(settings, table, frame))


def _markdown(settings: Settings, table: str, frame: pd.DataFrame) -> str:
    heading = f"# Differences in {spoken(table)}"
    if frame.empty:
        return f"{heading}\n\nThis table compares no runs.\n"
    told = int(frame["verdict"].isin((HIGHER, LOWER)).sum())
    sentences = [
        f"{told} of {len(frame)} differences are larger than chance explains (p below 0.05, adjusted by Holm's method "
        "over all lines with the same row).",
        "Points; with the 95 % interval of each difference, which is not adjusted. Same: the interval lies within "
        f"± {settings.equivalence_margin:g} points.",
    ]
    if frame["seeds"].max() == 1:
        sentences.append(
            "One training seed: how much a training varies with its seed is not in these intervals; they compare the "
            "trainings that were made, not the methods."
        )
    shown = pd.DataFrame(
        {
            "group": frame["group"],
            "row": frame["row"],
            "run": frame["run"],
            "minus": frame["compared_with"],
            "difference": frame["difference"].map(signed),
            "interval": [
                "" if pd.isna(low) else signed_interval(low, high)
                for low, high in zip(frame["ci_low"], frame["ci_high"], strict=True)
            ],
            "p (Holm)": frame["p_holm"].map("{:.3f}".format),
            "verdict": frame["verdict"],
        }
    )
    if not any(frame["group"]):
        shown = shown.drop(columns="group")
    listed = shown.to_markdown(index=False, disable_numparse=True)
    tests = "; ".join(dict.fromkeys(frame["test"]))
    return f"{heading}\n\n{' '.join(sentences)}\n\n{listed}\n\nTests: {tests}.\n"
