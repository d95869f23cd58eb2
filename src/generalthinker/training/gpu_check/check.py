"""The check of a GPU: its parts one after the other, each able to fail without the others.

This process imports no package that the check may find broken; `__main__.py` holds what needs them.
"""

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Self

from generalthinker.config.load import freeze
from generalthinker.config.settings import Settings
from generalthinker.errors import StageError
from generalthinker.files import write_json
from generalthinker.lock import FolderLock
from generalthinker.methods import Method
from generalthinker.paths import Layout
from generalthinker.provenance import commit
from generalthinker.records import RunSpec, slug
from generalthinker.training.gpu_check import machine, verdicts
from generalthinker.training.gpu_check.outcome import SET_UP, Ended, NotTriedError, Part, run_work
from generalthinker.training.launcher import BatchSplitError, split_batch, torchrun

# Seconds after which the process of a part is ended.
LIMITS = {"gpus": 300.0, "imports": 900.0, "model": 1200.0, "step": 1200.0, "rollouts": 1800.0, "processes": 1800.0}
TITLES = {"step": "training step", "rollouts": "rollouts", "processes": "several processes"}
FAILED = {
    "step": "a training fails in the same way: read the log",
    "rollouts": "until the rollout engine works: training.rollout_engine: transformers, which is many times slower",
    "processes": "until it works: gpu: 1 under train in slurm/config.yaml",
}
# Hooks that cost a step further passes, the most expensive first.
COSTLY_HOOKS = ("token_credit", "answer_losses", "advantages")
logger = logging.getLogger(__name__)


def check_gpu(settings: Settings, runs: Iterable[RunSpec], limits: dict[str, float] | None = None) -> list[Part]:
    """Return what each part of the check found, and write it to `<results>/gpu_check.json` after each part.

    `runs` are the configuration's; of each model, the one with the most work per step is tried. `limits` replaces some
    of LIMITS. The logs of the parts stay in `<results>/gpu_check/`.
    """
    folder = Path(Layout(settings.results).gpu_check_logs)
    with FolderLock(folder), _Check(settings, folder, LIMITS | (limits or {})) as check:
        check.add("GPUs and driver", check.gpus)
        check.add("versions", check.versions)
        check.add("imports", check.imports)
        for place, run in enumerate(most_work(settings, runs)):
            check.try_model(run, with_processes=place == 0)
        return check.parts


def most_work(settings: Settings, runs: Iterable[RunSpec]) -> list[RunSpec]:
    """Return one trained run per model, the one whose method does the most in a step, in the order of the models."""

    def cost(run: RunSpec) -> list[bool]:
        method = type(settings.method(run))
        return [getattr(method, hook) is not getattr(Method, hook) for hook in COSTLY_HOOKS]

    chosen: dict[str, RunSpec] = {}
    for run in runs:
        if run.seed is not None and (run.model not in chosen or cost(run) > cost(chosen[run.model])):
            chosen[run.model] = run
    return [chosen[model] for model in settings.models if model in chosen]


class _Check:
    """The parts so far. While it works, a scratch folder holds a model and questions where a run looks for them."""

    def __init__(self, settings: Settings, folder: Path, limits: dict[str, float]) -> None:
        self.settings, self.folder, self.limits = settings, folder, limits
        self.layout, self.scratch = Layout(settings.results), Layout(str(folder / "scratch"))
        self.parts: list[Part] = []
        self.started = time.strftime("%Y-%m-%d %H:%M:%S")

    def __enter__(self) -> Self:
        self._clean()
        self.frozen = freeze(self.settings.model_copy(update={"results": self.scratch.results}))
        train = Path(self.scratch.train)  # made up with the model, if there are no questions yet
        if (own := Path(self.layout.train)).exists():
            train.parent.mkdir(parents=True)
            train.symlink_to(own.resolve())
        return self

    def __exit__(self, *_: object) -> None:
        self._clean()

    def _clean(self) -> None:
        shutil.rmtree(self.scratch.results, ignore_errors=True)

    def add(self, name: str, part: Callable[[str], Part]) -> Part:
        """Try a part, keep what it found, and write the file."""
        logger.info("%s …", name)
        started = time.monotonic()
        try:
            found = part(name)
        except NotTriedError as reason:
            found = Part(name, "skipped", str(reason))
        except StageError as error:
            found = Part(name, "failed", str(error), "change the settings as it says")
        except Exception as error:  # whatever it is, the other parts are tried
            logger.exception("%s", name)
            found = Part(name, "failed", f"{type(error).__name__}: {error}", "an error of the check itself: report it")
        self.parts.append(found)
        logger.info("%s: %s, %.0f s", name, found.state, time.monotonic() - started)
        record = {
            "started": self.started,
            "commit": commit(),
            "training": self.settings.training.model_dump(mode="json"),
            "parts": [asdict(each) for each in self.parts],
        }
        write_json(self.layout.gpu_check, record)
        return found

    def gpus(self, name: str) -> Part:
        ended = self._work("gpus", "gpus")
        if ended.error:
            return ended.failed(name, SET_UP)
        return verdicts.gpus(name, ended.report, self.settings.training)

    def versions(self, name: str) -> Part:
        platform = machine.installed_platform()
        [lock, *_] = machine.PINS[platform]
        if not Path(lock).exists():
            raise NotTriedError(f"{lock} is not here: start the check in the repository's top folder")
        return verdicts.versions(name, lock, *machine.other_versions(Path(), platform))

    def imports(self, name: str) -> Part:
        errors: dict[str, str | None] = {}
        seconds, lines = 0.0, self.folder / "imports.jsonl"
        lines.unlink(missing_ok=True)
        while left := [module for module in machine.MODULES if module not in errors]:
            ended = self._work("imports", "imports", lines, json.dumps(left))
            text = lines.read_text(encoding="utf-8") if lines.exists() else ""
            for each in map(json.loads, text.splitlines()):
                errors[each["name"]] = each["error"]
                seconds += each["seconds"]
            lines.unlink(missing_ok=True)
            # A process that failed did so while it imported the first module that has no line.
            if ended.error and (unfinished := [module for module in left if module not in errors]):
                errors[unfinished[0]] = ended.error
        return verdicts.imports(name, errors, seconds)

    def try_model(self, run: RunSpec, *, with_processes: bool) -> None:
        """Add the parts of one model and of those that its method needs too; their folders are deleted afterwards."""
        names = dict.fromkeys([run.model, *self.settings.method(run).models.values()])
        folders = [Path(self.scratch.model(slug(name))) for name in names]
        models = [
            self.add(f"{name}: model", partial(self._model, model=name, folder=folder))
            for name, folder in zip(names, folders, strict=True)
        ]
        for kind in ("step", "rollouts", *(["processes"] if with_processes else [])):
            judge = partial(self._steps, run=run, kind=kind, models=models)
            self.add(f"{run.model}: {TITLES[kind]}", judge)
        for folder in folders:
            folder.unlink() if folder.is_symlink() else shutil.rmtree(folder, ignore_errors=True)

    def _model(self, name: str, model: str, folder: Path) -> Part:
        own = self.layout.model(slug(model))
        ended = self._work("model", slug(name), self.frozen, model, own, folder)
        if ended.error:
            return ended.failed(name, "make the model's folder by itself: snakemake downloads")
        return verdicts.model(name, ended.report, own)

    def _steps(self, name: str, run: RunSpec, kind: str, models: list[Part]) -> Part:
        for model in models:
            if model.state != "passed":
                raise NotTriedError(model.found if model.state == "skipped" else f"{model.part} failed")
        training = self.settings.training
        launcher = None
        if kind == "processes":
            gpus = len(self.parts[0].figures.get("gpus", []))
            if gpus == 1:
                raise NotTriedError("one GPU")
            count = max(2, gpus)
            try:
                split_batch(training, count)
            except BatchSplitError as error:
                raise error if gpus else NotTriedError(str(error)) from None
            launcher = torchrun(count, seconds_to_stop=10)
        folder = Path(self.scratch.results) / "steps"
        arguments = (self.frozen, run.name, folder, kind, models[0].figures["random"])
        ended = run_work(
            "steps",
            *arguments,
            folder=self.folder,
            name=slug(name),
            limit=self.limits[kind],
            launcher=launcher,
            one_gpu=launcher is None,
        )
        if ended.error:
            return ended.failed(name, FAILED[kind])
        if kind == "processes":
            return verdicts.processes(name, ended.report)
        judge = verdicts.step if kind == "step" else verdicts.rollouts
        return judge(name, ended.report | {"model": run.model, "run": run.name}, training)

    def _work(self, work: str, name: str, *arguments: object) -> Ended:
        return run_work(work, *arguments, folder=self.folder, name=name, limit=self.limits[work])
