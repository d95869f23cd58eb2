"""How long prompts are in tokens of Qwen2.5, and how many questions the mixture's limit would drop.

Reads the benchmarks that the local mirror (GENERALTHINKER_DATA_MIRROR) has, with the project's adapters, and counts the
tokens of the whole chat prompt as the mixture does. A training question with a longer prompt than
`data.max_prompt_tokens` is dropped as `prompt_too_long`; benchmarks themselves are never shortened.

    python benchmarks/prompt_lengths.py [--brief]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from generalthinker.config import load
from generalthinker.data.adapt import adapt
from generalthinker.data.fetch import fetch, mirrored
from generalthinker.data.lengths import prompt_lengths
from generalthinker.models.qwen_vocabulary import qwen_tokenizer

CONFIG = Path(__file__).parent.parent / "config/config.yaml"


def main() -> None:
    """Print one line per benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brief", action="store_true", help="a mirror with other numbers of rows: does it run?")
    brief = parser.parse_args().brief
    settings = load([CONFIG])
    limit = settings.data.max_prompt_tokens
    print(
        f"| benchmark | questions | over {limit} tokens | % | median | 95 % | longest |\n|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        qwen_tokenizer().save_pretrained(folder)
        for name, benchmark in settings.benchmarks.items():
            source = benchmark.model_copy(update={"rows": None}) if brief else benchmark
            if not mirrored(source, settings.mirror):
                continue
            questions = adapt(source, fetch(source, settings.mirror, settings.data.seed)).questions
            lengths = np.array(prompt_lengths([question.question for question in questions], Path(folder), name))
            over = (lengths > limit).sum()
            median, high = np.percentile(lengths, [50, 95])
            shares = f"{100 * over / len(lengths):.1f} | {median:.0f} | {high:.0f} | {lengths.max():,}"
            print(f"| {name} | {len(lengths):,} | {over:,} | {shares} |")


if __name__ == "__main__":
    main()
