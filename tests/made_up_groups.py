"""Responses with made-up tokens and numbers, in the form of `training.groups`, and the credit viewer's page of them."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from generalthinker.files import write_parquet
from generalthinker.methods import FAMILIES
from generalthinker.records import RunSpec
from generalthinker.reporting.credit_viewer import write_credit_viewer

RUN = RunSpec("small", "Some method", seed=1)
LOGPS = ("logp", "logp_reference", "logp_given_answer")
ON_REASONING = ("s", "m", "clipped", "w", "logp_given_answer")
# What a page could break: markup, the end of a script, characters outside the first plane, line breaks, empty tokens.
AWKWARD = [
    "</script>",
    "<b>",
    "&amp;",
    "<!--",
    "\\boxed{",
    "中",
    "",
    "🧿",
    " naïve",
    "\n",
    "\r\n",
    "\n\n",
    "\u2028",
    "\0",
    '"',
]


def groups(
    questions: int,
    responses: int,
    tokens: int,
    steps: tuple[int, ...] = (4,),
    vocabulary: tuple[str, ...] = (" token",),
) -> pd.DataFrame:
    """Return made-up responses of `tokens` tokens, the last four of which are not reasoning."""
    rng = np.random.default_rng(0)
    lines = []
    for group in range(questions):
        written = [[str(text) for text in rng.choice(vocabulary, tokens)] for _ in range(responses)]
        for step in steps:
            for response in range(responses):
                advantage = float(rng.normal())
                numbers = {name: rng.normal(size=tokens) for name in ("s", "m", "clipped")}
                numbers["w"] = rng.uniform(-1, 1, tokens)
                numbers |= {name: -rng.exponential(2, tokens) for name in LOGPS}
                numbers |= {"entropy": rng.exponential(1, tokens), "advantage": advantage + numbers["w"] / 10}
                for name in ON_REASONING:
                    numbers[name][tokens - 4 :] = np.nan
                lines.append(
                    {
                        "step": step,
                        "group": group,
                        "response": response,
                        "tokens": written[response],
                        "question": f"Question {group} </script> of 中文?\nA. 🧿",
                        "answer": "<7>",
                        "prefix": tokens - 4,
                        "truncated": response == 2,
                        "boxed": None if response == 2 else "</script>7",
                        "correct": response == 0,
                        "reward": -float(rng.exponential(5)) - 10 * (group == 1) * response,
                        "response_advantage": advantage,
                        "left_out": response == 2,
                        **{name: values.astype(np.float32) for name, values in numbers.items()},
                    }
                )
    return pd.DataFrame(lines)


def write_page(frame: pd.DataFrame, folder: Path, family: str = "generalthinker") -> Path:
    """Write the page of `frame` with the method `family`, and return it."""
    data, page = folder / "groups.parquet", folder / "page.html"
    write_parquet(data, frame, {"run": RUN.name, "result_step": int(frame["step"].max())})
    write_credit_viewer(data, page, RUN, FAMILIES[family](family=family))
    return page


def data_of(page: Path) -> dict:
    """Return the data in a page, read as a browser finds them: up to the first end of a script."""
    [found] = re.findall(r'<script type="application/json" id="data">(.*?)</script', page.read_text(), re.DOTALL)
    return json.loads(found)
