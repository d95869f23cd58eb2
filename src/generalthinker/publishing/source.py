"""The finished run that is shared, checked against the configuration, and the base model of its adapter."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generalthinker.config.data import HubModelSettings
from generalthinker.config.settings import Settings
from generalthinker.errors import StageError
from generalthinker.files import read_json
from generalthinker.identity import identity_of_run
from generalthinker.paths import Layout
from generalthinker.records import RunSpec, slug


class NotPublishableError(StageError, ValueError):
    """The run has no adapter that can be shared; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class BaseModel:
    """What an adapter is loaded onto: `name` is an id on the hub, and `commit` its commit; or a folder, without one."""

    name: str
    commit: str | None

    @property
    def on_hub(self) -> bool:
        """Whether others can download it."""
        return self.commit is not None


def finished(settings: Settings, run: RunSpec) -> dict[str, Any]:
    """Return the record of the finished `run`.

    Raises NotPublishableError for an untrained model, an unfinished run and a missing file; and for a run that was
    trained with other settings, questions or weights than the configuration's, which its card would describe.
    """
    layout = Layout(settings.results)
    if run.seed is None:
        raise NotPublishableError(f"{run.name}: {run.method} is not trained, so that it has no adapter")
    models = [run.model, *settings.method(run).models.values()]
    needed = [f"{layout.adapter(run.name)}/adapter_model.safetensors", layout.run_record(run.name)]
    needed += [*(layout.model(slug(model)) for model in models), layout.train, layout.mixture_manifest]
    needed += [layout.validation] if settings.training.validate_every else []
    if missing := [path for path in needed if not Path(path).exists()]:
        raise NotPublishableError(
            f"{run.name}: the run is not finished, or what it was made from is gone. Missing: {', '.join(missing)}. "
            f"`snakemake {layout.shared(run.name)}` makes what is missing; `generalthinker status` shows what runs"
        )
    record = read_json(layout.run_record(run.name))
    now = identity_of_run(settings, run).deciding
    if changed := [part for part in {**record["identity"], **now} if record["identity"].get(part) != now.get(part)]:
        raise NotPublishableError(
            f"{run.name}: the configuration and the data are not those of the finished run; they differ in: "
            f"{', '.join(changed)}. Use the settings that it was trained with, or train it with these: "
            f"`snakemake {layout.shared(run.name)}`"
        )
    return record


def base_model(settings: Settings, run: RunSpec) -> BaseModel:
    """Return the base model of the adapter of `run`, as one loads it from any working directory."""
    model = settings.models[run.model]
    folder = Path(Layout(settings.results).model(slug(run.model))).absolute()
    if isinstance(model, HubModelSettings):
        return BaseModel(model.id, read_json(folder / "snapshot.json")["commit"])
    return BaseModel(str(folder), None)
