"""What the training mixture costs: seconds and peak memory of the real code on 200,000 made-up source rows.

188,000 rows have Nemotron-CrossThink-QA's shape and 12,000 MATH's, with the real lengths, some of them too long, some
repeated, some in a benchmark. They lie where a download puts them (`--origin hub`, the default) or in a local mirror;
the tokenizer is Qwen2's with a vocabulary of 8,000. Reading, filtering, drawing and writing are measured, in a process
of its own.

    python benchmarks/mixture.py [--rows 200000] [--origin hub|mirror] [--brief]
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

MATH = "nlile/hendrycks-MATH-benchmark"
CROSSTHINK = "nvidia/Nemotron-CrossThink"
COMMIT = "0" * 40
CONFIG = Path(__file__).parent.parent / "config/config.yaml"
LETTERS = "ABCDEFGHIJ"


class Writer:
    """Writes made-up text whose words are as unevenly frequent as real ones."""

    def __init__(self) -> None:
        self.rng = random.Random(0)
        syllables = [a + b for a in "bcdfglmnprstv" for b in ("a", "e", "i", "o", "an", "er", "in", "ous")]
        self.words = ["".join(self.rng.choices(syllables, k=self.rng.randint(1, 4))) for _ in range(30_000)]
        self.cumulative: list[float] = []
        for rank in range(len(self.words)):
            self.cumulative.append((self.cumulative[-1] if rank else 0.0) + 1 / (rank + 2))

    def text(self, least: int, most: int) -> str:
        count = self.rng.randint(least, most)
        return " ".join(self.rng.choices(self.words, cum_weights=self.cumulative, k=count))

    def choice(self, index: int) -> dict:
        """Return a multiple-choice row: options below the question or apart from it, one in twelve too long."""
        stem = self.text(250, 400) if index % 12 == 0 else self.text(15, 90)
        options = [self.text(2, 14) for _ in range(10 if index % 3 else 4)]
        inline = "\n".join([stem, *(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))])
        return {
            "data_source": "qa",
            "prompt": [{"role": "user", "content": inline}],
            "reward_model": {"style": "rule", "ground_truth": self.rng.choice(LETTERS[: len(options)])},
            "meta_data": {"index": index, "question": inline if index % 2 else stem, "options": options},
        }

    def problem(self, index: int) -> dict:
        """Return a mathematics row."""
        return {
            "problem": f"{self.text(15, 80)} $x^{{{index}}}$?",
            "answer": rf"\frac{{{index}}}{{7}}",
            "solution": self.text(40, 200),
            "subject": self.rng.choice(["Algebra", "Geometry", "Number Theory"]),
            "unique_id": f"train/{index}.json",
        }


def write_sources(folder: Path, rows: int, origin: str) -> None:
    """Write both datasets below `folder`, every hundredth question twice, and a test split for decontamination."""
    writer = Writer()
    problems = [writer.problem(index) for index in range(rows * 6 // 100)]
    choices = [writer.choice(index) for index in range(rows - len(problems))]
    for source in (problems, choices):
        source[::100] = source[1::100][: len(source[::100])]
    splits = {(MATH, "train"): problems, (MATH, "test"): problems[5::50], (CROSSTHINK, "train_qa"): choices}
    for (dataset, split), content in splits.items():
        place = folder / dataset
        if origin == "hub":
            place = folder / "hub" / f"datasets--{dataset.replace('/', '--')}" / "snapshots" / COMMIT
        place.mkdir(parents=True, exist_ok=True)
        with (place / f"{split}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
        files = [f"  - split: {path.stem}\n    path: {path.name}\n" for path in sorted(place.glob("*.jsonl"))]
        (place / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files:\n{''.join(files)}---\n")


def write_settings(folder: Path, rows: int, origin: str) -> None:
    """Write the paper's configuration with these two datasets, and a tokenizer."""
    from generalthinker.models.tiny import train_tokenizer

    content = yaml.safe_load(CONFIG.read_text())
    math = {"adapter": "math", "dataset": MATH, "revision": COMMIT}
    crossthink = {"adapter": "crossthink_qa", "dataset": CROSSTHINK, "revision": COMMIT}
    content |= {"results": str(folder / "results"), "tables": {}, "figures": {}, "reported_values": None}
    content["mirror"] = str(folder) if origin == "mirror" else None
    content["benchmarks"] = {"MATH-500": {**math, "group": "Math"}}
    content["evaluation"]["suites"] = {"math": ["MATH-500"]}
    content["data"]["sources"] = {
        "MATH": {**math, "split": "train", "rows": rows * 6 // 100},
        "CrossThink": {**crossthink, "split": "train_qa", "rows": rows - rows * 6 // 100, "take": "fill"},
    }
    content["data"]["decontaminate_against"] = ["MATH-500"]
    content["data"] |= {"train_rows": min(21_204, rows // 5), "validation_rows": min(1_000, rows // 50)}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    writer = Writer()
    texts = [{"question": writer.text(50, 100), "solution": "", "guess": ""} for _ in range(4000)]
    train_tokenizer(texts, 8000).save_pretrained(folder / "results/models/qwen2.5-1.5b")


def command(folder: Path, *arguments: str) -> tuple[float, float, float]:
    """Run one stage; return its seconds, its CPU seconds and the largest peak memory (GiB) of any stage so far."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder)}
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    arguments = ("-m", "generalthinker.cli", *arguments, "--settings", str(folder / "config.yaml"))
    subprocess.run([sys.executable, *arguments], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, used, after.ru_maxrss / 2**20


def main() -> None:
    """Build the sources, run the stages and print what the mixture cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--origin", choices=("hub", "mirror"), default="hub")
    parser.add_argument("--brief", action="store_true", help="2,000 rows: does it run?")
    given = parser.parse_args()
    if given.brief:
        given.rows = 2_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sources(folder, given.rows, given.origin)
        write_settings(folder, given.rows, given.origin)
        command(folder, "benchmark", "MATH-500")
        seconds, used, peak = command(folder, "mixture")
        manifest = json.loads((folder / "results/data/mixture.json").read_text())
    for source, account in manifest["sources"].items():
        print(f"{source}: {account['rows_read']:,} rows read, {account['survived']:,} survive, {account['dropped']}")
    written = f"{manifest['train']['rows']:,} + {manifest['validation']['rows']:,} written"
    cost = f"{seconds:.0f} s, {used:.0f} s of CPU, {peak:.2f} GiB at most, {len(os.sched_getaffinity(0))} cores"
    print(f"{written} from {given.rows:,} rows ({given.origin}) in {cost}")


if __name__ == "__main__":
    main()
