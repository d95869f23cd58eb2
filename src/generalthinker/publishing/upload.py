"""Upload an adapter's folder to the Hugging Face hub, or show what would be uploaded."""

import re
from pathlib import Path

from generalthinker.config.settings import Settings
from generalthinker.files import write_text
from generalthinker.paths import Layout
from generalthinker.provenance import file_hash
from generalthinker.publishing.card import CARD
from generalthinker.publishing.folder import WEIGHTS, make_folder
from generalthinker.publishing.source import NotPublishableError, base_model, finished
from generalthinker.records import RunSpec

IGNORED = ".snakemake_timestamp"
ADAPTER = re.compile(r'^adapter = ".*"$', re.MULTILINE)  # the line of the card's code that names the folder


class UploadError(NotPublishableError):
    """The hub refused the upload or could not be reached; the message says why and what to do."""


def folder_of(settings: Settings, run: RunSpec) -> Path:
    """Return the folder of the adapter of `run`, made now if it is not there; edits of its card are kept.

    Raises NotPublishableError if it holds another adapter than the finished run.
    """
    finished(settings, run)
    layout = Layout(settings.results)
    folder = Path(layout.shared(run.name))
    if not folder.exists():
        return make_folder(settings, run)
    if file_hash(folder / WEIGHTS) != file_hash(Path(layout.adapter(run.name)) / WEIGHTS):
        raise NotPublishableError(
            f"{folder}: this is not the adapter of the finished run; `generalthinker adapter {run.name}` makes the "
            "folder again (edits of its card are lost)"
        )
    return folder


def describe_upload(folder: Path, to: str) -> str:
    """Return what `upload` would send: the files with their sizes, and the card."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != IGNORED]
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in files}
    lines = [f"{size:>13,}  {name}" for name, size in sizes.items()]
    heading = f"{folder} to {to or 'a repository that --to names'}: {len(sizes)} files, {sum(sizes.values()):,} bytes"
    return "\n".join([heading, *lines, "", card_for(folder, to)])


def card_for(folder: Path, to: str) -> str:
    """Return the card of `folder` whose code loads the adapter from the repository `to`, or as it is without one."""
    text = (folder / CARD).read_text(encoding="utf-8")
    return ADAPTER.sub(f'adapter = "{to}"', text) if to else text


def upload(settings: Settings, run: RunSpec, folder: Path, to: str) -> str:
    """Upload `folder` to the model repository `to` and return the page of the commit.

    The repository is made, private, if it does not exist. Raises NotPublishableError for an adapter whose base model
    is on no hub, and UploadError if the hub cannot be reached or refuses.
    """
    base = base_model(settings, run)
    if not base.on_hub:
        raise NotPublishableError(
            f"{run.name}: its base model was built here ({base.name}) and is on no hub, so that nobody could load the "
            "adapter. Share the folder together with that of the model instead"
        )
    from huggingface_hub import HfApi

    try:
        api = HfApi(library_name="generalthinker")
        api.create_repo(to, private=True, exist_ok=True)
        write_text(folder / CARD, card_for(folder, to))
        done = api.upload_folder(
            repo_id=to, folder_path=folder, ignore_patterns=[IGNORED], commit_message=f"Adapter of {run.name}"
        )
    except Exception as error:  # whatever error the library raises, nothing or not everything was uploaded
        raise UploadError(
            f"{folder} could not be uploaded to {to}: {type(error).__name__}: {str(error).strip()}\nWhat to do:\n"
            "  - log in with a token that may write: `hf auth login`, or set HF_TOKEN\n"
            "  - name a repository of your own or of your organisation: --to owner/name\n"
            "  - run it where the hub can be reached, with HF_HUB_OFFLINE unset; the same command continues"
        ) from error
    return done.commit_url
