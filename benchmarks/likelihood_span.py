r"""What the likelihood reward scores: the answer, the answer and a bare brace, or the answer and any token with one.

    python benchmarks/likelihood_span.py --settings config/laptop.yaml --model smollm2 [--questions 32] [--out FILE.png]
    python benchmarks/likelihood_span.py --brief

Equation 6 scores the reference answer after a response's own reasoning. The text that is scored ends with `a*}`, but a
model may close its box with a token of several characters, such as `}.` or `}\`. The bare `}` is then unlikely however
good the reasoning is. The script samples groups of responses to training questions, as a training's first step does,
scores each reasoning prefix in three ways in float32, and compares the rewards and the advantages. The model and the
training questions must have been made before. The figure shows the advantages and the ways in which boxes are closed.
"""

import argparse
import itertools
import statistics
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

matplotlib.use("Agg")
from generalthinker.answers.boxed import last_box
from generalthinker.config import load
from generalthinker.config.settings import Settings
from generalthinker.data import synthetic
from generalthinker.data.questions import read_questions
from generalthinker.data.sources.synthetic import question as as_question
from generalthinker.decoding import without_sampling_parameters
from generalthinker.errors import StageError
from generalthinker.models.tiny import build
from generalthinker.paths import Layout
from generalthinker.prompts import question_prompt
from generalthinker.records import Question, slug
from generalthinker.reporting import figures
from generalthinker.rewards import Rollout, reasoning_prefix
from generalthinker.training.scoring import encode_spans, prefix_tokens

DEMO = Path(__file__).parent.parent / "config/demo.yaml"
SPANS = ("answer", "answer_and_brace", "answer_and_any_brace")
LABELS = {"answer": "a*", "answer_and_brace": "a* and bare }", "answer_and_any_brace": "a* and any token with }"}
FLOOR = -30.0
SHOWN_CLOSINGS = 8


@dataclass(frozen=True)
class Scored:
    """One response: its group, its rewards by span (nats; None without a usable box), the token that closes its box."""

    group: int
    rewards: dict[str, float] | None
    truncated: bool
    tokens: int
    closing: str | None


@torch.no_grad()
def rewards_of(model: Any, tokenizer: Any, texts: list[str], context: str, answer: str) -> dict[str, float]:
    r"""Return log π of `answer` after `context` (nats) for each of SPANS; the scored text is `context + answer + "}"`.

    `texts` are the texts of all tokens. "answer" sums the tokens that overlap the answer, "answer_and_brace" those that
    overlap `answer}`. "answer_and_any_brace" is the latter, with the probability of the last token replaced by that of
    all tokens whose text begins with its text.
    """
    [ids], [(first, stop)] = encode_spans(tokenizer, [context], [answer], ["}"])
    logits = model(torch.tensor([ids]), logits_to_keep=len(ids) - first + 1).logits[0, :-1].float()
    logps = logits.log_softmax(-1)
    token_logps = logps.gather(1, torch.tensor(ids[first:]).unsqueeze(1)).squeeze(1).tolist()
    beginning = [token for token, text in enumerate(texts) if text.startswith(texts[ids[-1]])]
    return {
        "answer": sum(token_logps[: stop - first]),
        "answer_and_brace": sum(token_logps),
        "answer_and_any_brace": sum(token_logps[:-1]) + logps[-1, beginning].logsumexp(0).item(),
    }


@torch.no_grad()
def sample(model: Any, tokenizer: Any, prompt: str, count: int, limit: int) -> list[list[int]]:
    """Return the tokens of `count` responses at temperature 1, each with its end-of-turn token if it has one."""
    encoded = tokenizer([prompt] * count, add_special_tokens=False, return_tensors="pt")
    written = model.generate(**encoded, max_new_tokens=limit, do_sample=True, temperature=1.0, top_k=0, top_p=1.0)
    responses = written[:, encoded["input_ids"].size(1) :].tolist()
    end = tokenizer.eos_token_id
    return [ids[: ids.index(end) + 1] if end in ids else ids for ids in responses]


def scored(model: Any, tokenizer: Any, questions: list[Question], group_size: int, limit: int) -> list[Scored]:
    """Return `group_size` scored responses of at most `limit` tokens to each question."""
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    found = []
    for group, question in enumerate(questions):
        prompt = question_prompt(tokenizer, question.question)
        for ids in sample(model, tokenizer, prompt, group_size, limit):
            truncated = ids[-1] != tokenizer.eos_token_id
            text = tokenizer.decode(ids, skip_special_tokens=True)
            rollout = Rollout(
                prompt=prompt,
                completion=text,
                truncated=truncated,
                question=question.question,
                answer=question.answer,
                answer_type=question.answer_type,
                options=question.options,
                tokens=len(ids),
                group=group,
            )
            prefix, box = reasoning_prefix(rollout), last_box(text)
            rewards, closing = None, None
            if prefix is not None:
                rewards = rewards_of(model, tokenizer, texts, f"{prompt}{prefix}\\boxed{{", question.answer)
            if box is not None and box.content is not None:
                brace = text[: box.start + len("\\boxed{") + len(box.content)]
                closing = texts[ids[prefix_tokens(tokenizer, ids, brace)]]
            found.append(Scored(group, rewards, truncated, len(ids), closing))
        print(f"{group + 1} of {len(questions)} questions", end="\r", flush=True)
    return found


def advantages(responses: list[Scored], span: str, *, floor: bool) -> list[float]:
    """Return the group-normalised advantages (equation 2) of the usable responses, group by group.

    `floor`: the group's other responses have the reward FLOOR, as in a training; otherwise they are left out, and so is
    a group with fewer than two usable responses.
    """
    values = []
    for _, members in itertools.groupby(responses, key=lambda response: response.group):
        group = list(members)
        usable = [response.rewards[span] for response in group if response.rewards]
        rewards = usable + [FLOOR] * (len(group) - len(usable)) * floor
        if len(rewards) > 1:
            mean, deviation = statistics.fmean(rewards), statistics.stdev(rewards)
            values += [(reward - mean) / (deviation + 1e-4) for reward in usable]
    return values


def compared(responses: list[Scored], one: str, other: str, *, floor: bool) -> tuple[float, float]:
    """Return the correlation of the advantages of two spans, and the share of them with different signs."""
    pairs = [advantages(responses, span, floor=floor) for span in (one, other)]
    different = sum(a * b < 0 for a, b in zip(*pairs, strict=True)) / len(pairs[0])
    return statistics.correlation(*pairs), different


def report(responses: list[Scored]) -> None:
    """Print how boxes are closed, the rewards of each span, and how far the advantages agree."""
    usable = [response.rewards for response in responses if response.rewards]
    print(
        f"{len(responses)} responses: {len(usable) / len(responses):.1%} with reasoning and a closed box, "
        f"{statistics.fmean(response.truncated for response in responses):.1%} truncated, "
        f"{statistics.fmean(response.tokens for response in responses):.1f} tokens on average"
    )
    if not usable:
        raise StageError(
            "no response has reasoning and a closed box, so that nothing can be compared: warm the model up"
        )
    closings = Counter(response.closing for response in responses if response.closing is not None)
    print("\n| token that closes the box | responses |\n|---|---|")
    for closing, count in closings.most_common():
        print(f"| `{visible(closing)}` | {count} |")
    print("\n| span | mean reward (nats) | share of the closing token |\n|---|---|---|")
    answers = [rewards["answer"] for rewards in usable]
    for span in SPANS:
        total = sum(rewards[span] for rewards in usable)
        print(f"| `{span}` | {total / len(usable):.2f} | {1 - sum(answers) / total:.1%} |")
    print("\n| advantages compared | correlation | other sign | correlation, with floor | other sign, with floor |")
    print("|---|---|---|---|---|")
    for one, other in itertools.combinations(SPANS, 2):
        figures_of = [compared(responses, one, other, floor=floor) for floor in (False, True)]
        cells = " | ".join(f"{correlation:.2f} | {share:.1%}" for correlation, share in figures_of)
        print(f"| `{one}`, `{other}` | {cells} |")


def visible(token: str) -> str:
    """Return a token's text on one line, with spaces that can be seen."""
    return token.replace("\n", "↵").replace(" ", "␣")


def draw(responses: list[Scored], out: Path) -> None:
    """Draw the advantages with a brace over those without, and the tokens that close a box."""
    with figures.style():
        figure, (scatter, bars) = figures.grid(2, 4.6)
        without = advantages(responses, "answer", floor=False)
        for span, colour in zip(SPANS[1:], figures.COLOURS, strict=False):
            scatter.scatter(
                without, advantages(responses, span, floor=False), 12, colour, alpha=0.6, label=LABELS[span]
            )
        limits = [min(without), max(without)]
        scatter.plot(limits, limits, color="#4D4D4D", linewidth=0.8)
        scatter.set(xlabel="advantage where a* is scored", ylabel="advantage where the brace is scored too")
        scatter.legend(loc="upper left", fontsize=8)
        closings = Counter(response.closing for response in responses if response.closing is not None)
        shown = closings.most_common(SHOWN_CLOSINGS)
        bars.bar([visible(text) for text, _ in shown], [count for _, count in shown], color=figures.COLOURS[0])
        bars.set(xlabel="token that closes the box", ylabel="responses")
        figure.savefig(out, metadata={"Software": None})


def made(settings: Settings, name: str, count: int) -> tuple[Path, list[Question]]:
    """Return the folder of a model and the first training questions. Raises StageError if they were not made."""
    layout = Layout(settings.results)
    for path in (layout.model(slug(name)), layout.train):
        if not Path(path).exists():
            raise StageError(f"{path} is missing; make it with `snakemake --cores all --configfile … -- {path}`")
    return Path(layout.model(slug(name))), read_questions(layout.train)[0][:count]


def main() -> None:
    """Sample, score, print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=Path, nargs="+", default=[Path("config/laptop.yaml")])
    parser.add_argument("--model", default="smollm2", help="an entry of `models`")
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("likelihood-span.png"))
    parser.add_argument("--brief", action="store_true", help="the demo's smallest model, pre-trained a little")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    settings = load([DEMO] if arguments.brief else arguments.settings)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.brief:
            model_folder = Path(folder) / "small"
            options = settings.models["small"].model_dump(exclude={"kind", "label"}) | {"steps": 300}
            build(model_folder, **options, evaluation_questions=8)
            questions = [as_question(row, 0) for row in synthetic.rows(None, "train", 8, 1)]
        else:
            model_folder, questions = made(settings, arguments.model, arguments.questions)
        tokenizer = AutoTokenizer.from_pretrained(model_folder, padding_side="left")
        model = without_sampling_parameters(AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32))
        training = settings.training
        torch.manual_seed(1)
        responses = scored(model.eval(), tokenizer, questions, training.group_size, training.max_completion_tokens)
    report(responses)
    draw(responses, arguments.out)
    print(f"\nfigure: {arguments.out}")


if __name__ == "__main__":
    main()
