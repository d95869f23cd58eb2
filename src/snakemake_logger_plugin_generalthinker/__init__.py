"""A Snakemake plugin that says what Snakemake leaves out: which configuration file is not valid, and what runs.

Snakemake reads the files after `--configfile` before any code of this project runs, and its error does not name them.
While jobs run for minutes it is silent (`heartbeat.py`). `profiles/default` switches the plugin on; the part of its
name after `snakemake_logger_plugin_` is the value of `--logger`.
"""

import sys
from collections.abc import Iterator
from logging import LogRecord

from snakemake.logging import is_quiet_about
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_generalthinker.heartbeat import Heartbeat


class LogHandler(LogHandlerBase):
    """Adds messages to Snakemake's own output and changes nothing else."""

    writes_to_stream = False
    writes_to_file = False
    has_filter = True  # none: also messages that `--quiet` hides tell what runs
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Make ready for the first job; a dry run has none."""
        self.heartbeat: Heartbeat | None = None

    def emit(self, record: LogRecord) -> None:
        """Note what runs, and print which configuration file cannot be read, after Snakemake's error about it."""
        started = getattr(record, "event", None) == LogEvent.JOB_STARTED
        if started and self.heartbeat is None and not is_quiet_about(self.common_settings.quiet or (), "progress"):
            self.heartbeat = Heartbeat()
            self.heartbeat.start()
        if self.heartbeat is not None:
            self.heartbeat.note(record)
        if "Config file" not in record.getMessage():
            return
        from generalthinker.config.load import SettingsError, read_yaml

        for path in given_files(sys.argv[1:]):
            try:
                read_yaml(path)
            except SettingsError as error:
                print(error, file=sys.stderr)

    def close(self) -> None:
        """Print no more: Snakemake calls this at its end, also after Ctrl-C."""
        if self.heartbeat is not None:
            self.heartbeat.stop()
        super().close()


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
