"""The composition of the training questions: counts and prompt lengths by source, answer type and domain."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from generalthinker.errors import StageError
from generalthinker.files import read_parquet, replacing, write_text
from generalthinker.reporting.figures import COLOURS, grid, save, style

KEYS = ["source", "answer_type", "domain"]
COLUMNS = [*KEYS, "prompt_tokens"]
ALL = "all"
QUANTILES = {"tokens_p10": 0.1, "tokens_p50": 0.5, "tokens_p90": 0.9, "tokens_max": 1.0}
SHOWN_DOMAINS = 15
BARS = 40


def read_composition(files: dict[str, Path]) -> pd.DataFrame:
    """Return split, source, answer_type, domain and prompt_tokens of every question in `files` (split → file).

    Raises StageError if a file lacks one of these columns.
    """
    frames = []
    for split, path in files.items():
        frame, _ = read_parquet(path)
        if missing := [column for column in COLUMNS if column not in frame]:
            raise StageError(
                f"{path}: the columns {missing} are missing, found {list(frame)}. Files of an older version lack "
                "`prompt_tokens`: `generalthinker mixture` writes the same questions again with this column, but "
                "Snakemake then trains again on the new file."
            )
        frames.append(frame[COLUMNS].assign(split=split))
    return pd.concat(frames, ignore_index=True)


def tabulate_composition(questions: pd.DataFrame) -> pd.DataFrame:
    """Return one row per source, answer type and domain, then one per source and answer type, then the total.

    `questions` is what `read_composition` returns. The result counts `train` and `validation`, gives the share of all
    questions in percent, and quantiles of the prompt length in tokens.
    """
    levels = [questions, questions.assign(domain=ALL), questions.assign(**dict.fromkeys(KEYS, ALL))]
    return pd.concat([_summary(level, len(questions)) for level in levels], ignore_index=True)


def write_composition(questions: pd.DataFrame, csv: Path, md: Path, png: Path, pdf: Path) -> None:
    """Write the composition as CSV, Markdown and figure; the same questions give the same bytes."""
    table = tabulate_composition(questions)
    with replacing(csv) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    headers = [name.replace("_", " ") for name in table.columns]
    write_text(md, table.to_markdown(index=False, headers=headers) + "\n")
    with style():
        save(_draw(questions), png, pdf)


def _summary(questions: pd.DataFrame, total: int) -> pd.DataFrame:
    groups = questions.groupby(KEYS, sort=True)
    counts = groups["split"].value_counts().unstack(fill_value=0).reindex(columns=["train", "validation"], fill_value=0)
    counts["share_percent"] = (100 * groups.size() / total).round(2)
    for name, quantile in QUANTILES.items():
        counts[name] = groups["prompt_tokens"].quantile(quantile, interpolation="lower").astype(int)
    return counts.reset_index()


def _draw(questions: pd.DataFrame) -> Figure:
    sources = {source: COLOURS[at % len(COLOURS)] for at, source in enumerate(sorted(questions["source"].unique()))}
    figure, (domains, lengths) = grid(2, 5.2)
    _domains(domains, questions, sources)
    _lengths(lengths, questions, sources)
    figure.suptitle(f"{len(questions):,} questions for training and validation", fontsize=12)
    figure.legend(*lengths.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _domains(axis: Axes, questions: pd.DataFrame, sources: dict[str, str]) -> None:
    """Draw the number of questions per domain, the most frequent on top; the rarest ones share the lowest bar."""
    counts = questions.groupby(["domain", "source"]).size().unstack(fill_value=0)
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    if len(counts) > SHOWN_DOMAINS:
        rest = counts.iloc[SHOWN_DOMAINS:].sum().rename(f"{len(counts) - SHOWN_DOMAINS} others")
        counts = pd.concat([counts.iloc[:SHOWN_DOMAINS], rest.to_frame().T])
    left = pd.Series(0, index=counts.index)
    for source in counts.columns:
        axis.barh(range(len(counts)), counts[source], left=left, color=sources[source])
        left += counts[source]
    axis.set_yticks(range(len(counts)), counts.index)
    axis.invert_yaxis()
    axis.set(title="Domains", xlabel="questions")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axis.grid(visible=False, axis="y")


def _lengths(axis: Axes, questions: pd.DataFrame, sources: dict[str, str]) -> None:
    parts = [questions.loc[questions["source"] == source, "prompt_tokens"] for source in sources]
    labels = [f"{source} ({len(part):,})" for source, part in zip(sources, parts, strict=True)]
    first, last = questions["prompt_tokens"].min(), questions["prompt_tokens"].max()
    # Every bar covers the same whole number of tokens; otherwise some bars would cover one length more than others.
    width = (last - first) // BARS + 1
    axis.hist(
        parts, bins=range(first, last + width + 1, width), stacked=True, color=list(sources.values()), label=labels
    )
    axis.set(title="Prompt lengths", xlabel="tokens of the prompt", ylabel="questions")
