"""The adapters of the datasets: one module per dataset; the setting `adapter` of a source names its module.

A source module has

    COLUMNS: tuple[str, ...]                       the required columns; a row may have more
    LICENCE: str | None                            the dataset's licence, None if its page names none
    question(row: dict, index: int) -> Question    a pure function; raises ValueError or KeyError if it cannot read
                                                   the row, UnusedRowError if it can read the row but leaves it out

where `index` is the row's place in the split, counted from 0. A question whose `source` is empty gets the dataset's id.
"""

import importlib
import pkgutil
from typing import Any, Protocol, cast

from generalthinker.data import DataError
from generalthinker.records import Question

DatasetRow = dict[str, Any]


class UnusedRowError(ValueError):
    """The row can be read but is not used; the mixture's manifest counts it under the message."""


class Source(Protocol):
    """A source module."""

    COLUMNS: tuple[str, ...]
    LICENCE: str | None

    def question(self, row: DatasetRow, index: int) -> Question:
        """Return the question in `row`."""
        ...


def get(name: str) -> Source:
    """Return the source module called `name`. Raises DataError with the known names if there is none."""
    if name not in names():
        raise DataError(f"adapter {name!r}: no such module in generalthinker/data/sources; choose one of {names()}")
    return cast(Source, importlib.import_module(f"{__name__}.{name}"))


def names() -> list[str]:
    """Return the names of all source modules."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))
