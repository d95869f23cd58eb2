"""Turn dataset rows into questions: check the columns first, then let the source's adapter read each row."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from generalthinker.config.data import SourceSettings
from generalthinker.data import DataError
from generalthinker.data.fetch import Fetched, describe
from generalthinker.data.sources import DatasetRow, UnusedRowError, get
from generalthinker.records import Question

# If more rows than this share are unreadable, the adapter does not fit the dataset.
TOLERATED_SHARE = 0.1
SHOWN_CHARACTERS = 1500


@dataclass(frozen=True, slots=True)
class Adapted:
    """The questions of one source, and the number of rows that gave no question, by reason."""

    questions: list[Question]
    dropped: Counter[str]


def adapt(source: SourceSettings, fetched: Fetched, *, tolerant: bool = False) -> Adapted:
    """Return the questions in `fetched`, with unique ids.

    Raises DataError if columns are missing, or if a row cannot be read or has an empty reference answer; the message
    shows the row. With `tolerant`, which is for training sources, up to a tenth of the rows may be unreadable and are
    counted as "unreadable"; questions with an empty answer are left to the mixture's filters.
    """
    module = get(source.adapter)
    questions: list[Question] = []
    dropped: Counter[str] = Counter()
    failed: tuple[int, DatasetRow, Exception] | None = None
    for index, own in enumerate(fetched.rows):
        row = _renamed(source, index, own)
        if missing := [column for column in module.COLUMNS if column not in row]:
            raise DataError(
                f"{describe(source)}: row {index} lacks the columns {missing}; expected {list(module.COLUMNS)}, found "
                f"{list(own)}. Check `adapter` ({source.adapter}), `subset` and `revision`, or name the dataset's own "
                f"columns: `columns: {{{missing[0]}: <its name>}}`."
            )
        try:
            question = module.question(row, index)
        except UnusedRowError as reason:
            if not tolerant:
                raise DataError(_unreadable(source, index, row, reason)) from reason
            dropped[str(reason)] += 1
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            failed = failed or (index, row, error)
            dropped["unreadable"] += 1
            if not tolerant:
                break
        else:
            if not tolerant and not question.answer.strip():
                raise DataError(_unanswered(source, index, row))
            questions.append(question if question.source else replace(question, source=source.dataset))
    if failed and (not tolerant or dropped["unreadable"] > TOLERATED_SHARE * len(fetched.rows)):
        raise DataError(_unreadable(source, *failed, count=dropped["unreadable"], rows=len(fetched.rows)))
    return Adapted(_with_unique_ids(questions), dropped)


def _renamed(source: SourceSettings, index: int, row: DatasetRow) -> DatasetRow:
    """Return the row with the values of `source.columns` under the adapter's names."""
    renamed = dict(row)
    for name, path in source.columns.items():
        value: Any = row
        for part in path.split("."):
            if not isinstance(value, dict) or part not in value:
                raise DataError(
                    f"{describe(source)}: columns: {{{name}: {path}}}: row {index} has no {path!r}; found {list(row)}\n"
                    f"{_shown(row)}"
                )
            value = value[part]
        renamed[name] = value
    return renamed


def _with_unique_ids(questions: list[Question]) -> list[Question]:
    """Append "#2", "#3" … to repeated ids, because the ids of some datasets are not unique."""
    seen: Counter[str] = Counter()
    unique = []
    for question in questions:
        seen[question.id] += 1
        count = seen[question.id]
        unique.append(question if count == 1 else replace(question, id=f"{question.id}#{count}"))
    return unique


def _unreadable(
    source: SourceSettings, index: int, row: DatasetRow, error: Exception, *, count: int = 1, rows: int | None = None
) -> str:
    share = f" ({count:,} of {rows:,} rows)" if rows and count > 1 else ""
    return (
        f"{describe(source)}: row {index} cannot be read by the adapter {source.adapter!r}{share}: "
        f"{type(error).__name__}: {error}\n{_shown(row)}\nIf the dataset has changed its columns, name them "
        "(`columns: {question: <its name>, …}`; `a.b` is the value `b` inside the column `a`), or pin an older "
        f"`revision`. What the adapter reads is in src/generalthinker/data/sources/{source.adapter}.py."
    )


def _unanswered(source: SourceSettings, index: int, row: DatasetRow) -> str:
    return (
        f"{describe(source)}: row {index} has an empty reference answer, so no response to it could be graded\n"
        f"{_shown(row)}\nPin a `revision` in which the row has an answer, or correct the row in the local mirror."
    )


def _shown(row: DatasetRow) -> str:
    return f"  columns: {list(row)}\n  row: {str(row)[:SHOWN_CHARACTERS]}"
