"""Tables of methods and of verifiers, and the figure of differences, on results written by hand."""

import random
from pathlib import Path

import pandas as pd
import pytest

from generalthinker.config import Settings, load, parse_settings
from generalthinker.config.reporting import RunChoice
from generalthinker.files import write_json, write_parquet
from generalthinker.methods.general_reasoner import GeneralReasoner
from generalthinker.paths import Layout
from generalthinker.records import RunSpec, slug
from generalthinker.reporting import rows, tables, writers
from generalthinker.reporting.differences import write_differences
from generalthinker.reporting.figures import write_figure
from generalthinker.reporting.made import described_results
from generalthinker.reporting.measure import IncompleteResultsError

SECONDS = {"Binary-RL": 2.0, "Likelihood-RL": 3.0, "NOVER": 4.0}
RIGHT = {"Base": 0.2, "NOVER": 0.9}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The demo's rivals, three of their rows, with made-up results."""
    loaded = load([Path("config/demo.yaml"), Path("config/rivals.yaml")])
    shown = ("Base", "Binary-RL", "Likelihood-RL", "NOVER", "General-Reasoner")
    table = loaded.tables["rivals"]
    chosen = table.model_copy(update={"runs": {name: table.choices[name] for name in shown}})  # type: ignore
    made = loaded.model_copy(update={"results": str(tmp_path), "tables": loaded.tables | {"rivals": chosen}})
    layout = Layout(made.results)
    generator = random.Random(0)
    for name in made.benchmarks:
        ids = [f"{name}-{number}" for number in range(50)]
        write_json(layout.benchmark_manifest(slug(name)), {"rows_written": 50})
        write_parquet(layout.benchmark(slug(name)), pd.DataFrame({"id": ids, "question": ids, "domain": name}))
    for label in shown:
        for run in made.runs(chosen.choices[label]):
            write_grades(made, run, RIGHT.get(label, 0.5), generator)
            if run.seed is not None:
                write_records(layout, run, SECONDS.get(label, 8.0))
    return made


def write_grades(settings: Settings, run: RunSpec, share: float, generator: random.Random) -> None:
    parts = [
        {
            "benchmark": name,
            "id": f"{name}-{number}",
            "correct": generator.random() < share,
            "extracted": None,
            "reason": "equal",
            "truncated": False,
            "tokens": 3,
        }
        for name in settings.suite_benchmarks("toys")
        for number in range(50)
    ]
    write_parquet(Layout(settings.results).grades(run.name, "toys"), pd.DataFrame(parts), {"generation": {}})


def write_records(layout: Layout, run: RunSpec, seconds: float) -> None:
    # The first step is slow, as it is in a real training.
    timing = {"step": [1, 2, 3], "seconds": [99.0, seconds, seconds], "rollout_seconds": [1.0, 1.0, 1.0]}
    write_parquet(layout.timing(run.name), pd.DataFrame(timing))
    shares = {metric.column: [0.5, 0.25] for metric in GeneralReasoner.METRICS}
    write_parquet(layout.history(run.name), pd.DataFrame({"step": [1, 2]} | shares))
    write_json(layout.run_record(run.name), {"peak_memory_gib": 1.5 + (run.seed or 0)})


def write(settings: Settings, table: str) -> list[Path]:
    layout = Layout(settings.results)
    files = []
    for key in tables.rows(settings, table):
        files.append(Path(layout.row(table, key)))
        rows.write_row(settings, table, key, files[-1])
    written = [Path(layout.display(table, suffix)) for suffix in ("csv", "md", "tex")]
    write_differences(settings, table, *(Path(layout.differences(table, suffix)) for suffix in ("csv", "md")))
    writers.write_table(settings, table, files, *written)
    return written


def test_a_table_of_methods_has_differences_costs_and_needs(settings: Settings) -> None:
    csv, md, tex = write(settings, "rivals")
    frame = pd.read_csv(csv, dtype=str, keep_default_na=False).set_index("method")
    nover = frame.loc["NOVER"]
    gap = float(nover["Toy general"]) - float(frame.loc["Likelihood-RL", "Toy general"])
    assert float(nover["Toy general minus Likelihood-RL"]) == pytest.approx(gap, abs=0.011)
    assert frame.loc["Likelihood-RL", "Toy general minus Likelihood-RL"] == ""
    assert (nover["step_seconds"], nover["step_seconds_without_sampling"]) == ("2.00", "3.00")
    assert nover["peak_memory_gib"] == "4.5", "the most of the three seeds"
    assert (nover["slow policy"], nover["verifier"], nover["further models"]) == ("yes", "", "")
    assert frame.loc["Binary-RL", ["step_seconds", "verifier"]].tolist() == ["1.00", "rules"]
    assert frame.loc["General-Reasoner", ["further models", "verifier"]].tolist() == ["1", "model"]
    assert frame.loc["Base", ["step_seconds", "peak_memory_gib"]].tolist() == ["", ""]
    text = md.read_text()
    assert "Bold: higher than Likelihood-RL." in text
    assert "**" + nover["Toy general"] + "**" in text
    assert frame.loc["Base", "Toy general"] + " ±" not in text, "an untrained model has no deviation over seeds"
    assert " … +" in text, "intervals of the differences"
    assert r"\textbf{" + nover["Toy general"] in tex.read_text()


def test_an_unfinished_training_has_no_costs_to_show(settings: Settings) -> None:
    [first, *_] = settings.runs(RunChoice(model="small", method="NOVER"))
    path = Path(Layout(settings.results).timing(first.name))
    path.unlink()
    with pytest.raises(IncompleteResultsError, match=f"{path}: no such file; run `snakemake {path}` first"):
        rows.write_row(settings, "rivals", "NOVER", path.with_name("row.csv"))


def test_a_table_of_further_models_has_their_errors(settings: Settings) -> None:
    layout = Layout(settings.results)
    for run in settings.runs(RunChoice(model="small", method="General-Reasoner (own)")):
        write_records(layout, run, 1.0)
    record = {"held_out": {"accuracy": 0.975, "false_accepts": 0.02, "false_rejects": 0.03}}
    write_json(Path(layout.model("verifier")) / "pretraining.json", record)
    csv, md, _ = write(settings, "verifiers")
    [line, _] = pd.read_csv(csv, dtype=str).to_dict("records")
    assert (line["models"], line["verifier: accuracy"], line["verifier: false accepts"]) == (
        "verifier",
        "97.50",
        "2.00",
    )
    assert line["Accepted, but graded wrong"] == "37.50"
    assert "Accepted, but graded wrong" in md.read_text()


def test_the_figure_of_differences_is_the_same_bytes_every_time(settings: Settings, tmp_path: Path) -> None:
    files = [tmp_path / "f.png", tmp_path / "f.pdf"]
    with pytest.raises(IncompleteResultsError, match=r"differences/rivals\.csv: no such file"):
        write_figure(settings, "rivals", *files)
    write(settings, "rivals")
    write_figure(settings, "rivals", *files)
    first = [file.read_bytes() for file in files]
    write_figure(settings, "rivals", *files)
    assert first == [file.read_bytes() for file in files]


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("baseline", "Best", "baseline = 'Best': no run of this table"),
        ("baseline", None, "a table of methods needs a `baseline`"),
        ("unit_of_cost", "Best", "unit_of_cost = 'Best': no run of this table"),
    ],
)
def test_what_is_compared_must_be_in_the_table(settings: Settings, where: str, value: str, message: str) -> None:
    written = settings.model_dump(mode="json", exclude_unset=True)
    written["tables"]["rivals"][where] = value
    with pytest.raises(ValueError, match=message):
        parse_settings(written)


def test_a_figure_of_differences_needs_a_table_of_accuracies(settings: Settings) -> None:
    written = settings.model_dump(mode="json", exclude_unset=True)
    written["figures"]["rivals"]["table"] = "table3"
    with pytest.raises(ValueError, match="table = 'table3': no table of accuracies; allowed: "):
        parse_settings(written)


def test_the_end_of_a_workflow_names_only_what_is_there(settings: Settings) -> None:
    layout = Layout(settings.results)
    assert described_results(settings) == f"Results of rivals: {settings.results}/"
    _, md, _ = write(settings, "rivals")
    assert described_results(settings).splitlines()[1] == f"Tables: {md}"
    alone = settings.model_copy(update={"tables": {"rivals": settings.tables["rivals"]}})
    assert md.read_text().strip() in described_results(alone)
    Path(layout.report).write_text("")
    assert f"(report: {layout.report})" in described_results(settings)
