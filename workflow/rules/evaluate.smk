# Greedy responses of one run to one suite of benchmarks in one engine session, and their grades, which need no GPU.
rule generate:
    input:
        questions=lambda w: benchmark_files(settings.suite_benchmarks(w.suite)),
        model=lambda w: layout.model(slug(settings.run(w.run).model)),
        adapter=lambda w: (
            [] if settings.run(w.run).seed is None else layout.adapter(w.run)
        ),
    output:
        layout.generations("{run}", "{suite}"),
    log:
        layout.log("generate", "{run}/{suite}"),
    benchmark:
        layout.benchmark_file("generate", "{run}/{suite}")
    conda:
        ENVIRONMENT
    threads: settings.threads.generate
    resources:
        mem_mb=8000,
        gpu=1,
    params:
        evaluation=lambda w: {
            name: settings.generation_identity(name)
            for name in settings.suite_benchmarks(w.suite)
        },
    message:
        "Generating: {wildcards.run} on {wildcards.suite}"
    shell:
        "generalthinker --log {log} generate {wildcards.run} {wildcards.suite} --threads {threads}"


rule grade:
    input:
        responses=layout.generations("{run}", "{suite}"),
        questions=lambda w: benchmark_files(settings.suite_benchmarks(w.suite)),
    output:
        layout.grades("{run}", "{suite}"),
    log:
        layout.log("grade", "{run}/{suite}"),
    benchmark:
        layout.benchmark_file("grade", "{run}/{suite}")
    conda:
        ENVIRONMENT
    threads: settings.threads.grade
    resources:
        mem_mb=4000,
    params:
        grader=fingerprint_with_imports("answers/stage.py"),
    message:
        "Grading: {wildcards.run} on {wildcards.suite}"
    shell:
        "generalthinker --log {log} grade {wildcards.run} {wildcards.suite} --workers {threads}"
