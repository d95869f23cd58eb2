"""A Snakemake plugin that names the broken file where Snakemake says only that a configuration file is not valid.

Snakemake reads the files after `--configfile` before any code of this project runs. `profiles/default` switches the
plugin on; the part of its name after `snakemake_logger_plugin_` is the value of `--logger`.
"""

import sys
from collections.abc import Iterator
from logging import LogRecord

from snakemake_interface_logger_plugins.base import LogHandlerBase


class LogHandler(LogHandlerBase):
    """Adds one message to Snakemake's own output and changes nothing else."""

    writes_to_stream = False
    writes_to_file = False
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def emit(self, record: LogRecord) -> None:
        """Print which configuration file cannot be read, and where, after Snakemake's error about it."""
        if "Config file" not in record.getMessage():
            return
        from generalthinker.config.load import SettingsError, read_yaml

        for path in given_files(sys.argv[1:]):
            try:
                read_yaml(path)
            except SettingsError as error:
                print(error, file=sys.stderr)


def given_files(arguments: list[str]) -> Iterator[str]:
    """Yield the files after `--configfile` or `--configfiles` in Snakemake's `arguments`."""
    reading = False
    for argument in arguments:
        option, _, value = argument.partition("=")
        if argument.startswith("-"):
            reading = option in ("--configfile", "--configfiles")
            if reading and value:
                yield value
        elif reading:
            yield argument
