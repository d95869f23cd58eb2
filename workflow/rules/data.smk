# These rules build one question file per benchmark, and the training mixture. They run on the machine where Snakemake
# was started, because compute nodes often have no network access.
localrules:
    benchmark,
    mixture,
    overlap,


rule benchmark:
    output:
        questions=layout.benchmark("{name}"),
        manifest=layout.benchmark_manifest("{name}"),
    log:
        layout.log("benchmark", "{name}"),
    benchmark:
        layout.benchmark_file("benchmark", "{name}")
    # Benchmarks are built first, so that an unreadable dataset is reported before any GPU is used.
    priority: 10
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
    params:
        source=lambda w: settings.benchmark_identity(w.name),
    message:
        "Building the questions of {wildcards.name}"
    shell:
        "generalthinker --log {log} benchmark {wildcards.name}"


rule overlap:
    input:
        questions=layout.benchmark("{name}"),
        train=layout.train,
        validation=layout.validation,
    output:
        layout.overlap("{name}"),
    log:
        layout.log("overlap", "{name}"),
    benchmark:
        layout.benchmark_file("overlap", "{name}")
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
    message:
        "Counting the training questions that occur in {wildcards.name}"
    shell:
        "generalthinker --log {log} overlap {wildcards.name}"


# Responses whose wrong step is known, for the question whether the credit finds it.
rule marked:
    input:
        [settings.credit.marked] if settings.credit and settings.credit.marked else [],
    output:
        layout.marked,
    log:
        layout.log("marked"),
    benchmark:
        layout.benchmark_file("marked")
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
    params:
        responses=(
            settings.credit.model_dump(exclude={"runs"}) if settings.credit else {}
        ),
        seed=settings.data.seed,
        code=fingerprint_with_imports("data/marked.py"),
    message:
        "Collecting responses with a marked mistake"
    shell:
        "generalthinker --log {log} marked"


rule mixture:
    input:
        # Gated benchmarks are no input, so that training does not wait for access; the command reads those it can.
        benchmarks=benchmark_files(settings.open_benchmarks),
        tokenizer=layout.model(slug(settings.data.tokenizer_model)),
    output:
        train=layout.train,
        validation=layout.validation,
        manifest=layout.mixture_manifest,
    log:
        layout.log("mixture"),
    benchmark:
        layout.benchmark_file("mixture")
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
    params:
        data=settings.data.model_dump(),
    message:
        "Building the training and validation questions"
    shell:
        "generalthinker --log {log} mixture"
