"""The Hugging Face hub: one repository's files from the local cache, and what the cache lacks from the network.

A repository is always taken as a whole snapshot of one commit. What is in the cache (`HF_HOME`) is never asked for
again, so an experiment whose cache was filled on a machine with internet access runs on one without.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from generalthinker.config.data import HubModelSettings, SourceSettings
from generalthinker.data import DataError

PAGE = "https://huggingface.co"
# Weights and what tokenizers and configurations are made of; not the other formats that a model is offered in.
MODEL_FILES = ["*.json", "*.txt", "*.safetensors"]


class NoAccessError(DataError):
    """A gated repository that this account may not read, or that is not in the cache of an offline machine."""


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository at one revision, a commit wherever the configuration pins one."""

    kind: Literal["model", "dataset"]
    id: str
    revision: str
    gated: bool = False

    @property
    def page(self) -> str:
        """The repository's page, where a gated one is asked for."""
        return f"{PAGE}/{'datasets/' if self.kind == 'dataset' else ''}{self.id}"


def of_source(source: SourceSettings) -> Repository:
    """Return the repository of a dataset."""
    return Repository("dataset", source.dataset, source.revision or "main", source.gated)


def of_model(model: HubModelSettings) -> Repository:
    """Return the repository of a model."""
    return Repository("model", model.id, model.revision)


def snapshot(repository: Repository) -> Path:
    """Return the folder of the repository's files, named by their commit, downloading what the cache lacks.

    A broken-off download continues after its last finished file. Raises NoAccessError or DataError.
    """
    from huggingface_hub import is_offline_mode, snapshot_download

    try:
        # without `local_files_only` the library wants a list of the files, which its older versions did not keep
        return Path(snapshot_download(repository.id, **_request(repository), local_files_only=is_offline_mode()))
    except Exception as error:  # whatever the library raises here means the same: no files
        raise _failure(repository, error) from error


def missing(repository: Repository) -> int:
    """Return the bytes that `snapshot` would download. Raises what `snapshot` would, as far as that can be known."""
    from huggingface_hub import auth_check, is_offline_mode, snapshot_download

    if is_offline_mode():
        snapshot(repository)
        return 0
    try:
        files = snapshot_download(repository.id, **_request(repository), dry_run=True)
        count = sum(file.file_size or 0 for file in files if file.will_download)
        if count and repository.gated:
            # the files of a gated repository can be listed by those who may not read them
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
            f"  - it is gated: visit {repository.page}, accept its conditions, and set HF_TOKEN to a token of that "
            "account"
        )
    lines.append(
        "  - run `generalthinker download` on a machine with internet access that shares HF_HOME with this one "
        "(HF_HUB_OFFLINE unset); later steps need none"
    )
    kind = NoAccessError if repository.gated and _denied(repository) else DataError
    return kind("\n".join(lines))


def _request(repository: Repository) -> dict:
    patterns = MODEL_FILES if repository.kind == "model" else None
    return {"repo_type": repository.kind, "revision": repository.revision, "allow_patterns": patterns}


def _denied(repository: Repository) -> bool:
    """Return whether the hub refuses this account the repository, or cannot be asked because this machine is offline.

    The error of a failed download does not tell: each way of transfer has its own.
    """
    from huggingface_hub import auth_check, is_offline_mode
    from huggingface_hub.errors import HfHubHTTPError

    if is_offline_mode():
        return True
    try:
        auth_check(repository.id, repo_type=repository.kind)
    except HfHubHTTPError as error:
        return error.response.status_code in (401, 403)
    except Exception:  # no network: nobody refused anything
        return False
    return False
