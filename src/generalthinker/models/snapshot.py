"""Make the folder of a model: download it from the hub at a pinned commit, or build it for the demo."""

from pathlib import Path

from generalthinker.config.data import HubModelSettings, TinyModelSettings
from generalthinker.data import hub
from generalthinker.files import replacing, write_json


def make(settings: HubModelSettings | TinyModelSettings, out: Path) -> None:
    """Write the model to the folder `out`; files in the hub's cache are not downloaded again."""
    if isinstance(settings, TinyModelSettings):
        from generalthinker.models.tiny import build

        build(out, **settings.model_dump(exclude={"kind", "label"}))
        return
    cached = hub.snapshot(hub.of_model(settings))
    with replacing(out) as temporary:
        temporary.mkdir()
        for file in cached.iterdir():
            # The files are links into the cache, so that a model of 15 GB is stored only once.
            (temporary / file.name).symlink_to(file.resolve())
        write_json(
            temporary / "snapshot.json", {"id": settings.id, "revision": settings.revision, "commit": cached.name}
        )
