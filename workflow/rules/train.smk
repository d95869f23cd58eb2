# One job per run. Checkpoints lie beside the outputs, which Snakemake deletes before a job starts.
rule train:
    input:
        questions=layout.train,
        validation=[layout.validation] if settings.training.validate_every else [],
        model=lambda w: layout.model(slug(settings.run(w.run).model)),
        further_models=lambda w: further_models(w.run),
    output:
        adapter=directory(layout.adapter("{run}")),
        history=layout.history("{run}"),
        timing=layout.timing("{run}"),
        record=layout.run_record("{run}"),
    log:
        layout.log("train", "{run}"),
    benchmark:
        layout.benchmark_file("train", "{run}")
    conda:
        ENVIRONMENT
    threads: settings.threads.train
    resources:
        mem_mb=8000,
        gpu=1,
    params:
        identity=lambda w: settings.training_identity(settings.run(w.run)),
    message:
        "Training {wildcards.run}"
    shell:
        "generalthinker --log {log} train {wildcards.run} --threads {threads}"


# It needs a GPU for some minutes, and trains and samples nothing.
rule signals:
    input:
        marked=layout.marked,
        questions=layout.train,
        model=lambda w: layout.model(slug(settings.run(w.run).model)),
        further_models=lambda w: further_models(w.run),
        adapter=layout.adapter("{run}"),
        record=layout.run_record("{run}"),
    output:
        layout.signals("{run}"),
    log:
        layout.log("signals", "{run}"),
    benchmark:
        layout.benchmark_file("signals", "{run}")
    conda:
        ENVIRONMENT
    threads: settings.threads.train
    resources:
        mem_mb=8000,
        gpu=1,
    params:
        code=fingerprint(("training/groups.py", "training/signals.py")),
    message:
        "Reading the marked responses with {wildcards.run}"
    shell:
        "generalthinker --log {log} signals {wildcards.run} --threads {threads}"


# Not a part of `all`: docs/method.md shows one.
rule walkthrough:
    input:
        questions=layout.train,
        validation=[layout.validation] if settings.training.validate_every else [],
        model=lambda w: layout.model(slug(settings.run(w.run).model)),
        further_models=lambda w: further_models(w.run),
        adapter=layout.adapter("{run}"),
        record=layout.run_record("{run}"),
    output:
        csv=layout.walkthrough("{run}", "csv"),
        png=layout.walkthrough("{run}", "png"),
        pdf=layout.walkthrough("{run}", "pdf"),
    log:
        layout.log("walkthrough", "{run}"),
    benchmark:
        layout.benchmark_file("walkthrough", "{run}")
    conda:
        ENVIRONMENT
    threads: settings.threads.train
    resources:
        mem_mb=8000,
        gpu=1,
    message:
        "Walking through a response of {wildcards.run}"
    shell:
        "generalthinker --log {log} walkthrough {wildcards.run} --threads {threads}"


# Not a part of `all` either.
rule credit_viewer:
    input:
        questions=layout.train,
        validation=[layout.validation] if settings.training.validate_every else [],
        model=lambda w: layout.model(slug(settings.run(w.run).model)),
        further_models=lambda w: further_models(w.run),
        adapter=layout.adapter("{run}"),
        record=layout.run_record("{run}"),
    output:
        page=layout.credit("{run}", "html"),
        data=layout.credit("{run}", "parquet"),
    log:
        layout.log("credit_viewer", "{run}"),
    benchmark:
        layout.benchmark_file("credit_viewer", "{run}")
    conda:
        ENVIRONMENT
    threads: settings.threads.train
    resources:
        mem_mb=8000,
        gpu=1,
    message:
        "Showing the token credit of {wildcards.run}"
    shell:
        "generalthinker --log {log} credit-viewer {wildcards.run} --threads {threads}"


# It has no output files, so that it runs whenever it is asked for and a failed check keeps what it has found.
rule gpu_check:
    log:
        layout.log("gpu_check"),
    retries: 0  # a second attempt would find the same
    conda:
        ENVIRONMENT
    threads: settings.threads.train
    resources:
        mem_mb=8000,
        gpu=1,
    message:
        "Checking the GPU, the environment and a training step"
    shell:
        "generalthinker --log {log} check --gpu --threads {threads}"
