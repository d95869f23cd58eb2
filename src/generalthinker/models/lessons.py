"""Lessons for a warm-up: questions of the demo's generator with solutions in sentences, which end with a box.

They are meant to teach the format alone: reason, box the answer, end. Openings, layouts and endings vary, so that the
model keeps its own language; the ways to close a box are equally frequent. No question of a benchmark is used.
"""

import random

from generalthinker import prompts
from generalthinker.data import synthetic

LESSONS = 4000
OPENINGS = (
    "",
    "Let's solve this step by step.\n\n",
    "To answer the question, let's break it down.\n\n",
    "Let's think step by step. ",
    "First, look at what is given.\n\n",
    "Solution:\n\n",
)
LAYOUTS = (" ", "\n", "\n\n", "numbered")
ENDINGS = (
    "\n\nThe final answer is \\boxed{{{answer}}}.",
    "\n\nTherefore, the answer is $\\boxed{{{answer}}}$.",
    "\n\nSo the final answer is:\n\\boxed{{{answer}}}",
    "\n\nHence the answer is \\(\\boxed{{{answer}}}\\).",
    "\n\n\\[\n\\boxed{{{answer}}}\n\\]",
)


def boxed_solutions(tokenizer, seed: int) -> list[tuple[str, str]]:
    """Return LESSONS lessons (prompt, response); the seed decides questions, wording and order."""
    rng = random.Random(f"boxed solutions:{seed}")
    lessons = []
    for row in synthetic.rows(None, "pretrain", LESSONS, seed):
        *lines, _ = row["solution"].splitlines()
        steps = [f"{line}." for line in lines]
        layout = rng.choice(LAYOUTS)
        if layout == "numbered":
            steps, layout = [f"{place}. {step}" for place, step in enumerate(steps, 1)], "\n"
        response = rng.choice(OPENINGS) + layout.join(steps) + rng.choice(ENDINGS).format(answer=row["answer"])
        lessons.append((prompts.question_prompt(tokenizer, row["question"]), response))
    return lessons
