"""Does the credit find the wrong step in other worlds? The demo's small model, pre-trained on three kinds of texts.

    python benchmarks/credit_worlds.py [--out FILE.csv]
    python benchmarks/credit_worlds.py --brief

The worlds differ in the wrong steps of the teacher: in texts whose prompt gives an answer, and in other reasoned texts.
Before any training, every signal is measured as in `results/demo/credit.csv`: the area under the curve of wrong tokens
against the others of their response, and against the right token at the same place.
"""

import argparse
import random
import tempfile
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pandas as pd
import torch

from generalthinker.config import load
from generalthinker.config.settings import Settings
from generalthinker.data.marked import write_marked
from generalthinker.data.mixture import build_mixture
from generalthinker.data.synthetic import SyntheticRow
from generalthinker.files import read_parquet
from generalthinker.models import tiny
from generalthinker.paths import Layout
from generalthinker.reporting.credit import measure, summarise
from generalthinker.training import signals

DEMO = Path(__file__).parent.parent / "config/demo.yaml"
RUN = "small/GeneralThinker_strength-0.1_clip-2.0_seed-1"
SIGNALS = ("s", "between answers", "low probability")
COMPARISONS = ("in the response", "same place")


class World(NamedTuple):
    """Shares of the texts with a wrong step: where the prompt gives an answer, and of the other reasoned ones.

    `usual` None: as in the demo, `slip_share` of the last texts. A wrong step leads to a given answer that is wrong.
    """

    label: str
    given: float
    usual: float | None


WORLDS = (
    World("every given answer is right (the demo)", 0.0, None),
    World("half of the given answers are wrong", 0.5, None),
    World("the same, and half of all other solutions are wrong, too", 0.5, 0.5),
)


def lesson_in(world: World):
    """Return a teacher for this world: that of the demo, who believes some wrong answers to be the right ones."""
    demos = tiny.lesson

    def lesson(
        tokenizer,
        row: SyntheticRow,
        rng: random.Random,
        worked_share: float,
        slip_share: float,
        answer_conditioned_share: float,
    ) -> tuple[str, str]:
        slips = slip_share if world.usual is None else world.usual
        if world.given and rng.random() < world.given:
            answer = tiny.boxed(row["slip"])
            row = row | {"answer": answer, "solution": row["slip"], "slip": row["solution"]}
            slips = 1 - slips
        return demos(tokenizer, row, rng, worked_share, slips, answer_conditioned_share)

    return lesson


def areas(world: World, settings: Settings, brief: bool) -> pd.DataFrame:
    """Pre-train the small model in `world` and return the areas of its signals over all tasks."""
    layout = Layout(settings.results)
    options = settings.models["small"].model_dump(exclude={"kind", "label", "licence"})
    if brief:
        options |= {"steps": 10, "evaluation_questions": 8}
    with mock.patch.object(tiny, "lesson", lesson_in(world)):
        tiny.build(Path(layout.model("small")), **options)
    if not Path(layout.marked).exists():
        write_marked(settings, Path(layout.marked))
        files = Path(layout.train), Path(layout.validation), Path(layout.mixture_manifest)
        build_mixture(settings, [], Path(layout.model("small")), *files)
    run, out = settings.run(RUN), Path(layout.signals(RUN))
    with mock.patch.object(signals, "adapters_of", return_value=({}, 0)):  # the initial policy alone
        signals.write_signals(settings, run, out)
    readings, _ = read_parquet(out)
    measured = summarise(measure(readings, 0, settings.method(run)).assign(run=world.label, seed=run.seed))
    return measured[(measured["task"] == "all tasks") & measured["policy"].str.startswith("before")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="all signals and comparisons as CSV")
    parser.add_argument("--brief", action="store_true", help="hardly any pre-training; the numbers mean nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    print("| pre-training |" + "".join(f" {signal}, {where} |" for signal in SIGNALS for where in COMPARISONS))
    print("|---|" + "---|" * len(SIGNALS) * len(COMPARISONS))
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "own.yaml"
        responses = 2 if arguments.brief else 50
        data = "data: {decontaminate_against: []}"
        own.write_text(f"results: {folder}/results\n{data}\ncredit: {{responses: {responses}}}\n")
        settings = load([DEMO, own])
        for world in WORLDS:
            found = areas(world, settings, arguments.brief)
            results.append(found)
            lines = {(line["signal"], line["comparison"]): line for line in found.to_dict("records")}
            cells = [lines[signal, where] for signal in SIGNALS for where in COMPARISONS]
            shown = "".join(f" {one['area']:.2f} ({one['ci_low']:.2f}–{one['ci_high']:.2f}) |" for one in cells)
            print(f"| {world.label} |{shown}", flush=True)
    if arguments.out:
        pd.concat(results).to_csv(arguments.out, index=False)


if __name__ == "__main__":
    main()
