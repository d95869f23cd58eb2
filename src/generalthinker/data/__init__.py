"""This package turns dataset rows into questions: it fetches them and builds the benchmarks and the mixture."""

from generalthinker.errors import StageError


class DataError(StageError, ValueError):
    """Data is missing or differs from what was expected; the message says what is wrong, where, and what to do."""
