"""How costs grow: of a step with length, group size, width and truncation; of an evaluation with its questions.

    python benchmarks/growth.py [--steps docs/growth.png] [--suites docs/growth-suites.png] [--rounds 2] [--brief]

Every point is a step after sampling, measured as in training_step.py, of stock TRL's Binary-RL, our Binary-RL and
GeneralThinker, on a model small enough for a CPU. One value changes per panel. Evaluations are measured as in
pipeline_speed.py, on one vLLM engine that has started.
"""

import argparse
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib
import torch

matplotlib.use("Agg")
from generalthinker.reporting import figures
from pipeline_speed import small_demo, start_engine, time_stages
from training_step import GEOMETRIES, LABELS, Geometry, lengths_of, measure

VARIANTS = ["stock", "binary", "ours"]
BASE = replace(GEOMETRIES["cpu"], hidden=128, layers=2, heads=4, intermediate=384, vocabulary=1024, limit=256)
PANELS: dict[str, list[float]] = {
    "limit of a response (tokens)": [64, 128, 256, 512],
    "group size (8 prompts)": [2, 4, 8, 16],
    "width of the model": [64, 128, 256, 384],
    "truncated responses (%)": [0, 6.25, 25, 50],
}
BENCHMARKS = 8  # of the demo's suite
SUITE_LABELS = {"stage": "evaluate stage", "bare": "bare vLLM", "grading": "grading"}


def point(panel: str, value: float) -> tuple[Geometry, list[int], int]:
    """Return geometry, response lengths and group size where a panel's quantity is `value` and all else is the base."""
    geometry, group, truncated = BASE, 8, 1 / 32
    if panel.startswith("limit"):
        geometry = replace(BASE, limit=int(value))
    elif panel.startswith("group"):
        group = int(value)
    elif panel.startswith("width"):
        geometry = replace(BASE, hidden=int(value), intermediate=3 * int(value), heads=int(value) // 32)
        geometry = replace(geometry, key_value_heads=1 if value < 128 else 2)
    else:
        truncated = value / 100
    return geometry, lengths_of(geometry.limit, 8 * group, truncated_share=truncated), group


def suite_seconds(rows: list[int], rounds: int, steps: int) -> dict[str, list[float]]:
    """Return the seconds of the evaluate stage, bare vLLM and grading for suites of as many questions as `rows`."""
    seconds: dict[str, list[float]] = {name: [] for name in SUITE_LABELS}
    with tempfile.TemporaryDirectory() as name:
        settings = small_demo(Path(name), rows=max(rows) // BENCHMARKS, steps=steps)
        engine = start_engine(settings)
        for count in rows:
            benchmarks = {
                key: benchmark.model_copy(update={"limit": count // BENCHMARKS})
                for key, benchmark in settings.benchmarks.items()
            }
            times = time_stages(settings.model_copy(update={"benchmarks": benchmarks}), engine, Path(name), rounds)
            for part, values in seconds.items():
                values.append(statistics.median(times[part]))
    return seconds


def measure_steps(out: Path, rounds: int, panels: dict[str, list[float]]) -> None:
    """Measure training steps, print the table and draw the figure."""
    seconds: dict[str, dict[str, list[float]]] = {}
    print("| changed | value | " + " | ".join(LABELS[variant] for variant in VARIANTS) + " |\n|---|---|---|---|---|")
    for panel, values in panels.items():
        seconds[panel] = {variant: [] for variant in VARIANTS}
        for value in values:
            geometry, lengths, group = point(panel, value)
            measured = measure(geometry, lengths, rounds, VARIANTS, group)
            for variant in VARIANTS:
                seconds[panel][variant].append(measured[f"{variant}_total_seconds"])
            cells = (f"{seconds[panel][variant][-1]:.2f} s" for variant in VARIANTS)
            print(f"| {panel} | {value:g} | " + " | ".join(cells) + " |", flush=True)
    with figures.style():
        figure, axes = figures.grid(len(panels), 4.6)
        for axis, (panel, values) in zip(axes, panels.items(), strict=True):
            for index, variant in enumerate(VARIANTS):
                axis.plot(values, seconds[panel][variant], "o-", color=figures.COLOURS[index], label=LABELS[variant])
            axis.set(xlabel=panel, ylabel="processor s per step after sampling", ylim=(0, None))
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        figure.savefig(out, metadata={"Software": None})


def measure_suites(out: Path, rounds: int, suites: list[int], steps: int) -> None:
    """Measure evaluations, print the table and draw the figure."""
    seconds = suite_seconds(suites, rounds, steps)
    print("| questions of a suite | " + " | ".join(SUITE_LABELS.values()) + " |\n|---|---|---|---|")
    for place, count in enumerate(suites):
        print(f"| {count} | " + " | ".join(f"{seconds[part][place]:.2f} s" for part in SUITE_LABELS) + " |")
    with figures.style():
        figure, [axis] = figures.grid(1, 4.6)
        for index, (part, label) in enumerate(SUITE_LABELS.items()):
            axis.plot(suites, seconds[part], "o-", color=figures.COLOURS[index], label=label)
        axis.set(xlabel="questions of a suite", ylabel="s, with the engine started", ylim=(0, None))
        axis.legend()
        figure.savefig(out, metadata={"Software": None})


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=Path, help="measure training steps, and write this figure")
    parser.add_argument("--suites", type=Path, help="measure evaluations, and write this figure")
    parser.add_argument("--rounds", type=int, default=2, help="measurements per point, after one more")
    parser.add_argument("--brief", action="store_true", help="a few short points of both: does it run?")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.brief:
        measure_steps(Path("growth.png"), 1, {"limit of a response (tokens)": [16.0, 32.0]})
        measure_suites(Path("growth-suites.png"), 1, [8, 16], steps=40)
    if arguments.steps:
        measure_steps(arguments.steps, arguments.rounds, PANELS)
    if arguments.suites:
        measure_suites(arguments.suites, arguments.rounds, [200, 400, 800, 1600], steps=2000)


if __name__ == "__main__":
    main()
