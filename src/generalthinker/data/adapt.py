"""From rows to questions: the columns are checked first, then the source's adapter reads row by row."""

from collections import Counter
from dataclasses import dataclass, replace

from generalthinker.config.data import SourceSettings
from generalthinker.data import DataError
from generalthinker.data.fetch import Fetched, describe
from generalthinker.data.sources import Row, UnusedRowError, get
from generalthinker.records import Question

# Above this share of unreadable rows the adapter, not the row, is wrong.
TOLERATED_SHARE = 0.1
SHOWN_CHARACTERS = 1500


@dataclass(frozen=True, slots=True)
class Adapted:
    """The questions of one source, and how many rows gave none, by reason."""

    questions: list[Question]
    dropped: Counter[str]


def adapt(source: SourceSettings, fetched: Fetched, *, tolerant: bool = False) -> Adapted:
    """Return the questions in `fetched`, with unique ids.

    Raises DataError if columns are missing or a row cannot be read; it shows the columns and the row. With `tolerant`,
    for training sources, up to a tenth of the rows may be unreadable and are counted as "unreadable".
    """
    module = get(source.adapter)
    questions: list[Question] = []
    dropped: Counter[str] = Counter()
    failed: tuple[int, Row, Exception] | None = None
    for index, row in enumerate(fetched.rows):
        if missing := [column for column in module.COLUMNS if column not in row]:
            raise DataError(
                f"{describe(source)}: row {index} lacks the columns {missing}; expected {list(module.COLUMNS)}, found "
                f"{list(row)}. Check `adapter` ({source.adapter}), `subset` and `revision`."
            )
        try:
            questions.append(module.question(row, index))
        except UnusedRowError as reason:
            if not tolerant:
                raise DataError(_unreadable(source, index, row, reason)) from reason
            dropped[str(reason)] += 1
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            failed = failed or (index, row, error)
            dropped["unreadable"] += 1
            if not tolerant:
                break
    if failed and (not tolerant or dropped["unreadable"] > TOLERATED_SHARE * len(fetched.rows)):
        raise DataError(_unreadable(source, *failed, count=dropped["unreadable"], rows=len(fetched.rows)))
    return Adapted(_with_unique_ids(questions), dropped)


def _with_unique_ids(questions: list[Question]) -> list[Question]:
    """Append "#2", "#3" … to ids that occur before: some datasets repeat theirs."""
    seen: Counter[str] = Counter()
    unique = []
    for question in questions:
        seen[question.id] += 1
        count = seen[question.id]
        unique.append(question if count == 1 else replace(question, id=f"{question.id}#{count}"))
    return unique


def _unreadable(
    source: SourceSettings, index: int, row: Row, error: Exception, *, count: int = 1, rows: int | None = None
) -> str:
    share = f" ({count:,} of {rows:,} rows)" if rows and count > 1 else ""
    return (
        f"{describe(source)}: row {index} cannot be read by the adapter {source.adapter!r}{share}: "
        f"{type(error).__name__}: {error}\n  columns: {list(row)}\n  row: {str(row)[:SHOWN_CHARACTERS]}\n"
        f"If the dataset has changed its columns, pin an older `revision`, or mend data/sources/{source.adapter}.py."
    )
