"""Figures over steps: smoothing, bands over seeds, learning curves."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generalthinker.config import Settings, load, parse_settings
from generalthinker.files import read_json, write_json, write_parquet
from generalthinker.paths import Layout
from generalthinker.reporting.figures import dynamics, learning, write_figure
from generalthinker.reporting.measure import IncompleteResultsError

SEEDS = [1, 2, 3]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    loaded = load([Path("config/demo.yaml"), Path("config/study.yaml")])
    made = loaded.model_copy(update={"results": str(tmp_path), "seeds": SEEDS})
    layout = Layout(made.results)
    for choice in loaded.figures["learning"].runs.values():  # type: ignore[union-attr]
        for run in made.runs(choice):
            steps = pd.DataFrame({"step": range(1, 61)})
            metrics = dict.fromkeys(made.metrics, 0.1 * (run.seed or 0))
            write_parquet(layout.history(run.name), steps.assign(**metrics))
            write_parquet(layout.timing(run.name), steps.assign(seconds=2.0))
            validation = [{"step": step, "accuracy": 0.1 * (run.seed or 0)} for step in (20, 40, 60)]
            write_json(layout.run_record(run.name), {"validation": validation})
    return made


@given(st.lists(st.floats(-5, 5), min_size=30, max_size=60), st.integers(5, 24))
def test_one_outlier_makes_no_plateau(values: list[float], place: int) -> None:
    usual = pd.DataFrame({1: values})
    spike = usual.copy()
    spike.loc[place, 1] = 1e6
    assert dynamics.smooth(spike).to_numpy().max() <= usual.to_numpy().max()


def test_a_learning_curve_is_the_mean_over_seeds_in_a_band(settings: Settings) -> None:
    figure = learning.draw(settings, settings.figures["learning"])  # type: ignore[arg-type]
    by_step, by_second = figure.axes
    curve = by_step.lines[0]
    assert curve.get_label() == "Binary-RL"
    np.testing.assert_allclose(curve.get_data(), [[20, 40, 60], [20, 20, 20]])
    np.testing.assert_allclose(by_second.lines[0].get_xdata(), [40, 80, 120])
    [band] = by_step.collections[0].get_paths()
    heights = band.vertices[:, 1]
    np.testing.assert_allclose([heights.min(), heights.max()], [10, 30])
    plt.close(figure)


def test_curves_of_several_seeds_have_a_band(settings: Settings, tmp_path: Path) -> None:
    figure = dynamics.draw(settings, settings.figures["training"])  # type: ignore[arg-type]
    panel = figure.axes[0]
    strong = [line for line in panel.lines if line.get_label() == "GeneralThinker"]
    np.testing.assert_allclose(strong[0].get_ydata(), 0.2)
    heights = panel.collections[-1].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose([heights.min(), heights.max()], [0.1, 0.3])
    plt.close(figure)
    files = [tmp_path / "f.png", tmp_path / "f.pdf"]
    for name in ("learning", "training"):
        write_figure(settings, name, *files)
        first = [file.read_bytes() for file in files]
        write_figure(settings, name, *files)
        assert first == [file.read_bytes() for file in files]


def test_what_a_learning_curve_needs_is_named(settings: Settings, tmp_path: Path) -> None:
    run = settings.runs(settings.figures["learning"].runs["AM only"])[0]  # type: ignore[union-attr]
    record = Path(Layout(settings.results).run_record(run.name))
    write_json(record, read_json(record) | {"validation": []})
    with pytest.raises(IncompleteResultsError, match=r"the training was not validated; set training\.validate_every"):
        write_figure(settings, "learning", tmp_path / "f.png", tmp_path / "f.pdf")
    record.unlink()
    with pytest.raises(IncompleteResultsError, match=r"no such file; run `snakemake"):
        write_figure(settings, "learning", tmp_path / "f.png", tmp_path / "f.pdf")
    written = settings.model_dump(mode="json", exclude_unset=True)
    written["training"]["validate_every"] = None
    with pytest.raises(ValueError, match="a learning curve needs validation"):
        parse_settings(written)


def test_a_file_laid_over_another_removes_a_table_with_null() -> None:
    demo, study = load([Path("config/demo.yaml")]), load([Path("config/demo.yaml"), Path("config/study.yaml")])
    assert {"table3", "table4"} & set(demo.tables) == {"table3", "table4"}
    assert not {"table3", "table4"} & set(study.tables)
    assert set(study.figures) == {"differences", "learning", "training"}
