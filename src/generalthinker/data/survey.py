"""List what an experiment needs from the hub, what the cache lacks, and whether the disk has room for it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from generalthinker.config import Settings
from generalthinker.config.data import HubModelSettings
from generalthinker.data import DataError, hub
from generalthinker.data.fetch import mirrored
from generalthinker.data.hub import Repository


@dataclass(frozen=True, slots=True)
class Survey:
    """Per repository, the entries that need it (`names`) and either the bytes to download (`missing`) or an error.

    `free` is the free space on the cache's disk in bytes.
    """

    names: dict[Repository, list[str]]
    missing: dict[Repository, int]
    errors: dict[Repository, DataError]
    free: int

    @property
    def total(self) -> int:
        """The number of bytes to download."""
        return sum(self.missing.values())

    @property
    def fits(self) -> bool:
        """Whether everything that is missing fits on the cache's disk."""
        return self.total <= self.free

    @property
    def problems(self) -> list[str]:
        """The messages about everything that prevents the whole experiment."""
        messages = [str(error) for error in self.errors.values()]
        if not self.fits:
            messages.append(
                f"{hub.cache()}: the download needs {size(self.total)}, but only {size(self.free)} are free; free some "
                "space, or set HF_HOME to a folder on a larger disk"
            )
        return messages

    def __str__(self) -> str:
        lines = [
            (repository.kind, repository.id, ", ".join(names), self._state(repository))
            for repository, names in self.names.items()
        ]
        widths = [max(len(line[column]) for line in lines) for column in range(3)] if lines else []
        table = ["  ".join([*map(str.ljust, line[:3], widths), line[3]]) for line in lines]
        return "\n".join([*table, f"{size(self.total)} to download to {hub.cache()}, {size(self.free)} free"])

    def _state(self, repository: Repository) -> str:
        if repository in self.errors:
            return "no access" if isinstance(self.errors[repository], hub.NoAccessError) else "unreachable"
        return f"{size(self.missing[repository])} to download" if self.missing[repository] else "in the cache"


def needed(settings: Settings, *, models: bool = True, datasets: bool = True) -> dict[Repository, list[str]]:
    """Return the hub's repositories that the configuration needs, each with the entries that need it.

    Synthetic datasets, tiny models and datasets in the local mirror need no repository.
    """
    entries: dict[Repository, list[str]] = {}
    for name, model in settings.models.items():
        if models and isinstance(model, HubModelSettings):
            entries.setdefault(hub.of_model(model), []).append(name)
    for name, source in [*settings.data.sources.items(), *settings.benchmarks.items()]:
        if datasets and source.dataset != "synthetic" and not mirrored(source, settings.mirror):
            entries.setdefault(hub.of_source(source), []).append(name)
    return entries


def survey(names: dict[Repository, list[str]]) -> Survey:
    """Look up every repository in the cache and, unless HF_HUB_OFFLINE is set, on the hub; nothing is downloaded."""
    missing: dict[Repository, int] = {}
    errors: dict[Repository, DataError] = {}
    for repository in names:
        try:
            missing[repository] = hub.missing(repository)
        except DataError as error:
            errors[repository] = error
    return Survey(names, missing, errors, _free(hub.cache()))


def size(count: int) -> str:
    """Return a number of bytes as text with a unit.

    >>> size(512), size(15_237_000_000)
    ('0.0 MB', '15.2 GB')
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _free(folder: Path) -> int:
    """Return the free bytes of the disk on which `folder` is or will be."""
    existing = next(path for path in [folder.absolute(), *folder.absolute().parents] if path.exists())
    return shutil.disk_usage(existing).free
