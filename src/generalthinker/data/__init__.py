"""From dataset rows to questions: fetching, reading, benchmarks, the training mixture."""


class DataError(ValueError):
    """Data is missing or not what was expected; the message says what, where, and how to mend it."""
