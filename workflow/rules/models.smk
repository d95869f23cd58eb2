# Models are downloaded once, on the machine where Snakemake was started; a job builds and pre-trains the demo's models.
localrules:
    download,


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


rule pretrain:
    output:
        directory(layout.model("{model}")),
    log:
        layout.log("pretrain", "{model}"),
    benchmark:
        layout.benchmark_file("pretrain", "{model}")
    wildcard_constraints:
        model=alternatives(settings.models_of_kind("tiny")),
    conda:
        ENVIRONMENT
    threads: settings.threads.model
    resources:
        mem_mb=4000,
    params:
        model=lambda w: settings.model_identity(w.model),
    message:
        "Building and pre-training the {wildcards.model} model"
    shell:
        "generalthinker --log {log} model {wildcards.model} --threads {threads}"
