"""Sources: one file per dataset, all of the same shape, found by the name that a source's `adapter` gives.

A source module has

    COLUMNS: tuple[str, ...]                       columns that it must find; more are welcome
    LICENCE: str | None                            the dataset's licence, None where its page names none
    question(row: dict, index: int) -> Question    pure; ValueError or KeyError for a row it cannot read,
                                                   UnusedRowError for one that it can read but leaves out

where `index` is the row's place in the split, counted from 0.
"""

import importlib
import pkgutil
from typing import Any, Protocol, cast

from generalthinker.data import DataError
from generalthinker.records import Question

Row = dict[str, Any]


class UnusedRowError(ValueError):
    """A row that can be read but is not used; the message is the reason that the mixture's manifest counts."""


class Source(Protocol):
    """A source module."""

    COLUMNS: tuple[str, ...]
    LICENCE: str | None

    def question(self, row: Row, index: int) -> Question:
        """Return the question in `row`."""
        ...


def get(name: str) -> Source:
    """Return the source module called `name`. Raises DataError naming the ones there are."""
    if name not in names():
        raise DataError(f"adapter {name!r}: no such module in generalthinker/data/sources; there are {names()}")
    return cast(Source, importlib.import_module(f"{__name__}.{name}"))


def names() -> list[str]:
    """Return the source modules there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))
