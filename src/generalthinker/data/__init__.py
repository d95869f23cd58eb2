"""From dataset rows to questions: fetching, reading, benchmarks, the training mixture."""

from generalthinker.errors import StageError


class DataError(StageError, ValueError):
    """Data is missing or not what was expected; the message says what, where, and how to mend it."""
