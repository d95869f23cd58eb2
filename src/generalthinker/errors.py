"""Errors for the person who must act: the command line prints their message alone, without a traceback."""


class StageError(Exception):
    """A stage cannot go on; the message says what was expected, what was found, where, and what to do."""
