# GeneralThinker: every table, accuracy row and figure of the paper is a target. The rules are in workflow/rules/.
from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

from generalthinker.config.load import read_yaml
from generalthinker.errors import StageError
from generalthinker.reporting.made import described_results

min_version("9.27")

# `--configfile config/demo.yaml` replaces the paper's configuration; it is not merged with it.
if not workflow.config_settings.configfiles:
    # Snakemake's own message about a broken file does not name it.
    try:
        read_yaml("config/config.yaml")
    except StageError as error:
        raise WorkflowError(str(error)) from None

    configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


# Every job that needs a network. `generalthinker download` does less: it only fills the hub's cache.
rule downloads:
    input:
        benchmark_files(settings.benchmarks),
        rules.mixture.output,
        [layout.model(slug(name)) for name in settings.models_of_kind("hub")],
        [layout.package(slug(name)) for name in settings.models_of_kind("package")],


# `all` names these files because Snakemake creates a deleted file again only if a target needs it directly.
rule evaluations:
    input:
        [
            path(run.name, suite)
            for run, suite in cells.all_evaluations(settings)
            for path in (layout.generations, layout.grades)
        ],


# The tables whose accuracies the paper reports, beside its values.
rule comparisons:
    input:
        [
            layout.comparison(name, "md")
            for name in settings.tables
            if families.families(settings, name)
        ],


rule all:
    default_target: True
    input:
        rules.report.output,
        rules.responses.output,
        rules.evaluations.input,
        rules.credit.output if settings.credit else [],
        rules.audit.output if settings.reported_values else [],
        rules.comparisons.input if settings.reported_values else [],


rule tables:
    input:
        [
            layout.display(name, suffix)
            for name in settings.tables
            for suffix in ("csv", "md", "tex")
        ],


rule figures:
    input:
        [
            layout.display(name, suffix)
            for name in settings.figures
            for suffix in ("png", "pdf")
        ],


onstart:
    try:
        require_writable(settings.results)
        require_reporter(settings.training)
        freeze(settings)
        refuse_orphans()
        hold_session()
    except StageError as error:
        raise WorkflowError(str(error)) from None


onsuccess:
    print(described_results(settings), file=sys.stderr)
