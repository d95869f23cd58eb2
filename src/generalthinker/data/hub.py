"""Read repositories of the Hugging Face hub: from the local cache, and what the cache lacks from the network.

A repository is always read as a whole snapshot of one commit. Files in the cache (`HF_HOME`) are never downloaded
again, so a cache that was filled on a machine with internet access is enough for a machine without it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from generalthinker.config.data import HubModelSettings, SourceSettings
from generalthinker.data import DataError
from generalthinker.disk import DiskFullError, is_full

PAGE = "https://huggingface.co"
# The files of weights, tokenizer and configuration; the same weights in other formats are not downloaded.
MODEL_FILES = ["*.json", "*.txt", "*.jinja", "*.safetensors"]


class NoAccessError(DataError):
    """A gated repository cannot be read: access is missing, or the machine is offline and its cache lacks it."""


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository at one revision, which is a commit if the configuration pins one."""

    kind: Literal["model", "dataset"]
    id: str
    revision: str
    gated: bool = False

    @property
    def page(self) -> str:
        """The repository's page, on which access to a gated repository is requested."""
        return f"{PAGE}/{'datasets/' if self.kind == 'dataset' else ''}{self.id}"


def of_source(source: SourceSettings) -> Repository:
    """Return the repository of a dataset. Raises DataError if its revision is not set."""
    if source.revision is None:
        raise DataError(
            f"{source.dataset}: `revision` is missing; set it to a commit of {PAGE}/datasets/{source.dataset}"
        )
    return Repository("dataset", source.dataset, source.revision, source.gated)


def of_model(model: HubModelSettings) -> Repository:
    """Return the repository of a model."""
    return Repository("model", model.id, model.revision)


def snapshot(repository: Repository) -> Path:
    """Download what the cache lacks and return the folder of the repository's files, whose name is their commit.

    An interrupted download continues after its last finished file. Raises NoAccessError, DataError or DiskFullError.
    """
    from huggingface_hub import is_offline_mode, snapshot_download

    try:
        # Without `local_files_only` the library needs a list of the files, which caches of its older versions lack.
        return Path(snapshot_download(repository.id, **_request(repository), local_files_only=is_offline_mode()))
    except Exception as error:  # whatever error the library raises, the files cannot be read
        if is_full(error):
            raise DiskFullError(cache()) from error
        raise _failure(repository, error) from error


def missing(repository: Repository) -> int:
    """Return how many bytes `snapshot` would download. Raises the errors of `snapshot` that can be known before."""
    from huggingface_hub import auth_check, is_offline_mode, snapshot_download

    if is_offline_mode():
        snapshot(repository)
        return 0
    try:
        files = snapshot_download(repository.id, **_request(repository), dry_run=True)
        count = sum(file.file_size or 0 for file in files if file.will_download)
        if count and repository.gated:
            # The hub lists the files of a gated repository even to accounts that may not read them.
            auth_check(repository.id, repo_type=repository.kind)
    except Exception as error:  # as in `snapshot`
        raise _failure(repository, error) from error
    return count


def cache() -> Path:
    """Return the folder that snapshots are kept in."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _failure(repository: Repository, error: Exception) -> DataError:
    """Return the error that says what to do about `error`."""
    lines = [
        f"{repository.kind} {repository.id} (revision {repository.revision}) cannot be read: "
        f"{type(error).__name__}: {str(error).strip()}",
        "What to do:",
    ]
    if repository.gated:
        lines.append(
            f"  - the {repository.kind} is gated: accept its conditions on {repository.page}, and set HF_TOKEN to a "
            "token of the account that accepted them"
        )
    lines.append(
        "  - run `generalthinker download` on a machine with internet access that shares HF_HOME with this one "
        "(HF_HUB_OFFLINE unset); later steps need no internet access"
    )
    kind = NoAccessError if repository.gated and _denied(repository) else DataError
    return kind("\n".join(lines))


def _request(repository: Repository) -> dict:
    patterns = MODEL_FILES if repository.kind == "model" else None
    return {"repo_type": repository.kind, "revision": repository.revision, "allow_patterns": patterns}


def _denied(repository: Repository) -> bool:
    """Return whether the hub denies this account access, or cannot be asked because this machine is offline.

    The error of a failed download does not say so reliably, because each transfer method raises its own errors.
    """
    from huggingface_hub import auth_check, is_offline_mode
    from huggingface_hub.errors import HfHubHTTPError

    if is_offline_mode():
        return True
    try:
        auth_check(repository.id, repo_type=repository.kind)
    except HfHubHTTPError as error:
        return error.response.status_code in (401, 403)
    except Exception:  # a network error says nothing about access
        return False
    return False
