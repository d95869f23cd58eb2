# Questions: one file per benchmark, and the training mixture. They run where the network is: on the machine you type on.
localrules:
    benchmark,
    mixture,


rule benchmark:
    output:
        questions=layout.benchmark("{name}"),
        manifest=layout.benchmark_manifest("{name}"),
    log:
        layout.log("benchmark", "{name}"),
    benchmark:
        layout.benchmark_file("benchmark", "{name}")
    # Before everything else: what cannot be had is known before a GPU is asked for.
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
        "generalthinker benchmark {wildcards.name} > {log} 2>&1"


rule mixture:
    input:
        # Gated ones are compared with as well if they can be read; nothing else waits for access to them.
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
        "generalthinker mixture > {log} 2>&1"
