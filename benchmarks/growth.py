"""How a training step's cost grows: with response length, group size, model width and truncated responses; one figure.

    python benchmarks/growth.py [--out docs/growth.png] [--rounds 2] [--brief]

Every point is a step after sampling, measured as in training_step.py, of stock TRL's Binary-RL, our Binary-RL and
GeneralThinker, on a model small enough for a CPU. One value changes per panel; the others stay at the marked point.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import matplotlib
import torch

matplotlib.use("Agg")
from generalthinker.reporting import figures
from training_step import GEOMETRIES, LABELS, Geometry, lengths_of, measure

VARIANTS = ["stock", "binary", "ours"]
BASE = replace(GEOMETRIES["cpu"], hidden=128, layers=2, heads=4, intermediate=384, vocabulary=1024, limit=256)
PANELS: dict[str, list[float]] = {
    "limit of a response (tokens)": [64, 128, 256, 512],
    "group size (8 prompts)": [2, 4, 8, 16],
    "width of the model": [64, 128, 256, 384],
    "truncated responses (%)": [0, 6.25, 25, 50],
}


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
    with figures.style():
        figure, axes = figures.grid(len(panels), 4.6)
        for axis, (panel, values) in zip(axes, panels.items(), strict=True):
            for index, variant in enumerate(VARIANTS):
                axis.plot(values, seconds[panel][variant], "o-", color=figures.COLOURS[index], label=LABELS[variant])
            axis.set(xlabel=panel, ylabel="processor s per step after sampling", ylim=(0, None))
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        figure.savefig(arguments.out, metadata={"Software": None})


if __name__ == "__main__":
    main()
