"""The figure of one response: its tokens from left to right, the method's quantities from top to bottom."""

import textwrap
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from generalthinker.methods.method import Method, Quantity
from generalthinker.reporting.figures import COLOURS, save, style

SHOWN_TOKENS = 120
UP, DOWN = COLOURS[0], COLOURS[3]


def draw_walkthrough(table: Path, png: Path, pdf: Path, method: Method) -> None:
    """Draw the table of `training.walkthrough`; of a longer response, only the last `SHOWN_TOKENS` tokens."""
    texts = ("token", "question", "answer")
    frame = pd.read_csv(table, keep_default_na=False, dtype=dict.fromkeys(texts, str))
    numbers = [str(name) for name in frame if name not in (*texts, "in_prefix")]
    frame[numbers] = frame[numbers].apply(pd.to_numeric, errors="coerce")
    left_out = max(0, len(frame) - SHOWN_TOKENS)
    frame = frame.iloc[left_out:].reset_index(drop=True)
    with style():
        panels = method.quantities
        size = (max(7, 2.2 + 0.24 * len(frame)), 1.9 * len(panels))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(panels), 1, sharex=True)
        for axis, quantity in zip(axes, panels, strict=True):
            _bars(axis, frame, quantity.column)
            axis.axvline(frame["in_prefix"].sum() - 0.5, color="#4D4D4D", linewidth=1, linestyle=":")
            axis.set_ylabel(quantity.label)
            axis.grid(axis="x", visible=False)
            _overlay(axis, frame, quantity)
        whole = frame["response_advantage"].iloc[0]
        axes[-1].annotate(f"Â = {whole:.2f}", (len(frame) - 0.5, whole), ha="right", va="bottom", fontsize=8)
        axes[-1].set_xticks(frame.index, [_shown(token) for token in frame["token"]], rotation=90, family="monospace")
        axes[-1].tick_params(axis="x", labelsize=8, length=0)
        axes[-1].margins(x=0.01)
        more = f" (its last {len(frame)} tokens)" if left_out else ""
        question = textwrap.shorten(frame["question"].iloc[0], 200, placeholder=" …")
        asked = _drawable(f"{question} [{frame['answer'].iloc[0]}]", FontProperties())
        lines = [
            *textwrap.wrap(asked, int(9 * figure.get_figwidth())),
            ", ".join([f"One response{more}; reasoning left of the dotted line", *_headed(method)]),
        ]
        figure.suptitle("\n".join(lines), fontsize=10)
        save(figure, png, pdf)


def _bars(axis: Axes, frame: pd.DataFrame, name: str) -> None:
    """Draw one quantity as bars that begin at 0, or at the response's advantage for the advantages."""
    base = frame["response_advantage"].iloc[0] if name == "advantage" else 0.0
    heights = frame[name].astype(float).fillna(base) - base
    axis.bar(frame.index, heights, bottom=base, color=[UP if height > 0 else DOWN for height in heights], width=0.8)
    axis.axhline(base, color="black", linewidth=0.8)


def _overlay(axis: Axes, frame: pd.DataFrame, quantity: Quantity) -> None:
    """Draw a second column as marks and a shaded band, with their legend, where the quantity asks for them."""
    if quantity.overlay:
        column, label = quantity.overlay
        places = frame.index[frame["in_prefix"]]
        axis.plot(places, frame[column][places], "_", color="black", markersize=7, label=label)
    if quantity.band:
        width, label = quantity.band
        axis.axhspan(-width, width, color="#F2F2F2", zorder=0, label=label)
    if quantity.overlay or quantity.band:
        axis.legend(loc="upper right", fontsize=8, ncols=2)


def _headed(method: Method) -> list[str]:
    return [f"{method.knobs()[knob.field].symbol} = {knob.value}" for knob in method.knob_values]


def _shown(token: str) -> str:
    """Return the label of a token; `⋯` is a token that continues a character of the token before it."""
    return _drawable(token.replace("\n", "↵").replace(" ", "␣") or "⋯", FontProperties(family="monospace"))


def _drawable(text: str, font: FontProperties) -> str:
    """Return `text` as Matplotlib can draw it: instead of a character that the font lacks its number, as in U+4E2D."""
    known = get_font(findfont(font)).get_charmap()
    drawn = "".join(character if ord(character) in known else f"U+{ord(character):04X}" for character in text)
    # Matplotlib would read a dollar sign as the beginning of a formula.
    return drawn.replace("$", r"\$")
