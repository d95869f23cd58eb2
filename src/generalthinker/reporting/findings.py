"""What the comparisons of an experiment say, in sentences: what differs, what is the same, what cannot be told."""

import csv
from dataclasses import dataclass
from pathlib import Path

from generalthinker.config.settings import Settings
from generalthinker.paths import Layout
from generalthinker.reporting.comparison import compared, summary
from generalthinker.reporting.display import signed, signed_interval, spoken
from generalthinker.reporting.families import CANNOT_TELL, HIGHER, LOWER, SAME, families, gap_of

KINDS = {
    "different": (HIGHER, LOWER),
    "the same": (SAME,),
    "not told apart": (CANNOT_TELL,),
}


@dataclass(frozen=True, slots=True)
class Findings:
    """The comparisons of one table's averages by kind, and how those of its single benchmarks ended."""

    table: str
    heading: str
    averages: dict[str, list[str]]
    benchmarks: str
    paper: str


def findings(settings: Settings) -> list[Findings]:
    """Return what the file of differences of each table says; tables without such a file are left out."""
    found = []
    for table in settings.tables:
        path = Path(Layout(settings.results).differences(table, "csv"))
        if not families(settings, table) or not path.exists():
            continue
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        averages = {
            (family.group, family.label)
            for family in families(settings, table)
            if len(next(iter(family.cells.values())).benchmarks) > 1
        }
        of_averages = [line for line in lines if (line["group"], line["row"]) in averages]
        of_benchmarks = [line for line in lines if (line["group"], line["row"]) not in averages]
        verdicts = [cell.verdict for cell in compared(settings, table)] if settings.reported_values else []
        found.append(
            Findings(
                table=table,
                heading=f"{spoken(table)}: {settings.tables[table].title}",
                averages={
                    kind: [_sentence(line) for line in of_averages if line["verdict"] in verdicts_of]
                    for kind, verdicts_of in KINDS.items()
                },
                benchmarks=_counted(of_benchmarks),
                paper=summary(verdicts) if verdicts else "",
            )
        )
    return found


def _sentence(line: dict[str, str]) -> str:
    """Return one comparison, e.g. "GeneralThinker − Base, General: +3.20 (+1.10 … +5.30)"."""
    place = " ".join(filter(None, (line["group"], line["row"])))
    gap = gap_of(line)
    interval = f" ({signed_interval(*gap.interval)})" if gap.interval else ""
    return f"{line['run']} − {line['compared_with']}, {place}: {signed(gap.difference)}{interval}"


def _counted(lines: list[dict[str, str]]) -> str:
    if not lines:
        return ""
    counts = {kind: sum(line["verdict"] in verdicts for line in lines) for kind, verdicts in KINDS.items()}
    counted = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return f"{len(lines)} comparisons on single benchmarks: {counted}"
