"""How costs grow: of a training step with response length, group size, width and truncation; of a suite with its rows.

    python benchmarks/growth.py [--out docs/growth.png] [--rounds 2] [--brief]

Every point is a step after sampling, measured as in training_step.py, of stock TRL's Binary-RL, our Binary-RL and
GeneralThinker, on a model small enough for a CPU. One value changes per panel. The last panel is measured as in
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


def main() -> None:
    """Measure, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("growth.png"))
    parser.add_argument("--rounds", type=int, default=2, help="measured steps per point, after one more")
    parser.add_argument("--brief", action="store_true", help="one short panel: does it run?")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    panels = {"limit of a response (tokens)": [16.0, 32.0]} if arguments.brief else PANELS
    rounds = 1 if arguments.brief else arguments.rounds
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
    suites = [8, 16] if arguments.brief else [200, 400, 800, 1600]
    evaluation = suite_seconds(suites, rounds, steps=40 if arguments.brief else 2000)
    print("| questions of a suite | " + " | ".join(SUITE_LABELS.values()) + " |\n|---|---|---|---|")
    for place, count in enumerate(suites):
        print(f"| {count} | " + " | ".join(f"{evaluation[part][place]:.2f} s" for part in SUITE_LABELS) + " |")
    with figures.style():
        figure, axes = figures.grid(len(panels) + 1, 4.6)
        for axis, (panel, values) in zip(axes, panels.items(), strict=False):
            for index, variant in enumerate(VARIANTS):
                axis.plot(values, seconds[panel][variant], "o-", color=figures.COLOURS[index], label=LABELS[variant])
            axis.set(xlabel=panel, ylabel="processor s per step after sampling", ylim=(0, None))
        for index, (part, label) in enumerate(SUITE_LABELS.items()):
            axes[-1].plot(suites, evaluation[part], "s--", color=figures.COLOURS[index], label=label)
        axes[-1].set(xlabel="questions of a suite", ylabel="s, engine started", ylim=(0, None))
        axes[-1].legend()
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        figure.savefig(arguments.out, metadata={"Software": None})


if __name__ == "__main__":
    main()
