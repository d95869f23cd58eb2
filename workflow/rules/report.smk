# Rows, tables, figures, the report and the audit take seconds each, so they run on the submitting machine.
localrules:
    table_row,
    differences,
    compare,
    table,
    figure,
    composition,
    credit,
    report,
    responses,
    audit,
    adapter,


rule table_row:
    input:
        row_inputs,
        reported=settings.reported_values or [],
    output:
        layout.row("{table}", "{row}"),
    log:
        layout.log("table_row", "{table}/{row}"),
    benchmark:
        layout.benchmark_file("table_row", "{table}/{row}")
    conda:
        ENVIRONMENT
    resources:
        mem_mb=1000,
    params:
        row=lambda w: asdict(tables.find_row(settings, w.table, w.row)),
        code=fingerprint_with_imports("reporting/rows.py"),
        kind=lambda w: fingerprint_with_imports(
            f"reporting/tables/{settings.tables[w.table].kind}.py"
        ),
        # Names results of other code, so it follows the versions of all code that makes results.
        versions=all_code(),
    message:
        "Writing row {wildcards.row} of {wildcards.table}"
    shell:
        "generalthinker --log {log} row {wildcards.table} {wildcards.row}"


rule differences:
    input:
        differences_inputs,
    output:
        csv=layout.differences("{table}", "csv"),
        md=layout.differences("{table}", "md"),
    log:
        layout.log("differences", "{table}"),
    benchmark:
        layout.benchmark_file("differences", "{table}")
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
    params:
        table=lambda w: settings.tables[w.table].model_dump(exclude={"title"}),
        margin=settings.equivalence_margin,
        code=fingerprint_with_imports("reporting/differences.py"),
    message:
        "Testing the differences in {wildcards.table}"
    shell:
        "generalthinker --log {log} differences {wildcards.table}"


rule compare:
    input:
        row_files,
        reported=settings.reported_values or [],
    output:
        csv=layout.comparison("{table}", "csv"),
        md=layout.comparison("{table}", "md"),
        png=layout.comparison("{table}", "png"),
        pdf=layout.comparison("{table}", "pdf"),
    log:
        layout.log("compare", "{table}"),
    benchmark:
        layout.benchmark_file("compare", "{table}")
    conda:
        ENVIRONMENT
    resources:
        mem_mb=1000,
    params:
        margin=settings.equivalence_margin,
        code=fingerprint_with_imports("reporting/comparison.py"),
    message:
        "Setting {wildcards.table} beside the paper's"
    shell:
        "generalthinker --log {log} compare {wildcards.table}"


rule table:
    input:
        row_files,
        differences=lambda w: (
            layout.differences(w.table, "csv")
            if families.families(settings, w.table)
            else []
        ),
    output:
        csv=report(
            layout.display("{table}", "csv"),
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        md=layout.display("{table}", "md"),
        tex=layout.display("{table}", "tex"),
    log:
        layout.log("table", "{table}"),
    benchmark:
        layout.benchmark_file("table", "{table}")
    conda:
        ENVIRONMENT
    resources:
        mem_mb=1000,
    params:
        table=lambda w: settings.tables[w.table].model_dump(),
        caption=lambda w: tables.kind(settings, w.table).CAPTION,
        code=fingerprint_with_imports("reporting/writers.py"),
        kind=lambda w: fingerprint_with_imports(
            f"reporting/tables/{settings.tables[w.table].kind}.py"
        ),
        # What no row file holds: a change here writes the table again.
        from_settings=lambda w: tables.from_settings(settings, w.table),
    message:
        "Writing {wildcards.table}"
    shell:
        "generalthinker --log {log} table {wildcards.table}"


rule figure:
    input:
        figure_inputs,
    output:
        png=report(
            layout.display("{figure}", "png"),
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        pdf=layout.display("{figure}", "pdf"),
    log:
        layout.log("figure", "{figure}"),
    benchmark:
        layout.benchmark_file("figure", "{figure}")
    conda:
        ENVIRONMENT
    resources:
        mem_mb=1000,
    params:
        figure=lambda w: settings.figures[w.figure].model_dump(),
        labels={name: model.label for name, model in settings.models.items()},
        code=fingerprint_with_imports("reporting/figures/__init__.py"),
        kind=lambda w: fingerprint_with_imports(
            f"reporting/figures/{settings.figures[w.figure].kind}.py"
        ),
        versions=all_code(),  # as for rows
    message:
        "Drawing {wildcards.figure}"
    shell:
        "generalthinker --log {log} figure {wildcards.figure}"


rule composition:
    input:
        rules.mixture.output.train,
        rules.mixture.output.validation,
    output:
        csv=report(
            layout.display("composition", "csv"),
            caption="../report/composition.rst",
            category="Data",
            labels={"what": "table"},
        ),
        md=layout.display("composition", "md"),
        png=report(
            layout.display("composition", "png"),
            caption="../report/composition.rst",
            category="Data",
            labels={"what": "figure"},
        ),
        pdf=layout.display("composition", "pdf"),
    log:
        layout.log("composition"),
    benchmark:
        layout.benchmark_file("composition")
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
    params:
        code=fingerprint_with_imports("reporting/composition.py"),
    message:
        "Describing the training questions"
    shell:
        "generalthinker --log {log} composition"


rule credit:
    input:
        [layout.signals(run.name) for run in cells.credit_runs(settings)],
    output:
        csv=layout.display("credit", "csv"),
        md=layout.display("credit", "md"),
        png=report(
            layout.display("credit", "png"),
            caption="../report/credit.rst",
            category="Figures",
            labels={"figure": "credit"},
        ),
        pdf=layout.display("credit", "pdf"),
    log:
        layout.log("credit"),
    benchmark:
        layout.benchmark_file("credit")
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
    params:
        runs=settings.credit.model_dump(include={"runs"}) if settings.credit else {},
        code=fingerprint_with_imports("reporting/credit.py"),
        versions=all_code(),
    message:
        "Comparing wrong tokens with others"
    shell:
        "generalthinker --log {log} credit"


rule report:
    input:
        tables=[layout.display(name, "csv") for name in settings.tables],
        figures=[layout.display(name, "png") for name in settings.figures],
        composition=rules.composition.output.png,
        responses=layout.responses,  # the report links to it
        credit=rules.credit.output if settings.credit else [],
    output:
        layout.report,
    log:
        layout.log("report"),
    benchmark:
        layout.benchmark_file("report")
    conda:
        ENVIRONMENT
    resources:
        mem_mb=1000,
    params:
        code=fingerprint_with_imports("reporting/report.py"),
        versions=all_code(),
    message:
        "Writing the report"
    shell:
        "generalthinker --log {log} report"


rule responses:
    input:
        evaluated_files,
    output:
        layout.responses,
        [layout.response_texts(slug(name)) for name in evaluated_benchmarks()],
    log:
        layout.log("responses"),
    benchmark:
        layout.benchmark_file("responses")
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
    params:
        code=fingerprint_with_imports("reporting/responses.py"),
        compared=[asdict(one) for one in agreement.comparisons(settings)],
    message:
        "Writing the response browser"
    shell:
        "generalthinker --log {log} responses"


# Optional, and part of no other target: Inspect's viewer, in the environment that `make inspect` installs.
rule inspect:
    input:
        evaluated_files,
    output:
        logs=directory(layout.inspect_logs),
        bundle=directory(layout.inspect_bundle),
    log:
        layout.log("inspect"),
    benchmark:
        layout.benchmark_file("inspect")
    conda:
        "../../envs/inspect.yaml"
    resources:
        mem_mb=2000,
    params:
        code=fingerprint_with_imports("reporting/inspect_logs.py"),
        environment=Path(workflow.basedir) / ".venv-inspect/bin",
    message:
        "Writing logs for Inspect, and its viewer"
    shell:
        "export PATH={params.environment}:${{CONDA_PREFIX:+$CONDA_PREFIX/bin:}}$PATH; "
        "generalthinker --log {log} inspect-logs; "
        "inspect view bundle --log-dir {output.logs} --output-dir {output.bundle} &>> {log}"


rule audit:
    input:
        tables=[layout.display(name, "csv") for name in settings.tables],
        reported=settings.reported_values or [],
    output:
        csv=layout.display("audit", "csv"),
        md=layout.display("audit", "md"),
    log:
        layout.log("audit"),
    benchmark:
        layout.benchmark_file("audit")
    conda:
        ENVIRONMENT
    resources:
        mem_mb=1000,
    params:
        code=fingerprint_with_imports("reporting/audit.py"),
    message:
        "Comparing with the paper's reported values"
    shell:
        "generalthinker --log {log} audit"


# Not a part of `all`: what one shares of a run.
rule adapter:
    input:
        adapter_inputs,
        adapter=layout.adapter("{run}"),
        record=layout.run_record("{run}"),
        model=lambda w: layout.model(slug(settings.run(w.run).model)),
        further_models=lambda w: further_models(w.run),
        questions=rules.mixture.output,
    output:
        directory(layout.shared("{run}")),
    log:
        layout.log("adapter", "{run}"),
    benchmark:
        layout.benchmark_file("adapter", "{run}")
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
    params:
        code=fingerprint_with_imports("publishing/folder.py"),
        versions=all_code(),
        model=lambda w: settings.models[settings.run(w.run).model].model_dump(),
        evaluation=settings.evaluation.model_dump(
            include={"dtype", "max_new_tokens", "max_model_len"}
        ),
    message:
        "Making the folder of the adapter of {wildcards.run}"
    shell:
        "generalthinker --log {log} adapter {wildcards.run}"
