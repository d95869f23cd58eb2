"""The composition table counts every question once, and its figure can be drawn from any mixture."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from generalthinker.data.composition import composition
from generalthinker.data.questions import write_questions
from generalthinker.prompts import question_prompt
from generalthinker.records import Question
from generalthinker.reporting.composition import ALL, KEYS, tabulate_composition, write_composition

QUESTION = st.fixed_dictionaries(
    {
        "split": st.sampled_from(["train", "validation"]),
        "source": st.sampled_from(["a/one", "b/two"]),
        "answer_type": st.sampled_from(["mcq", "math"]),
        "domain": st.sampled_from(["algebra", "law", "物理"]),
        "prompt_tokens": st.integers(1, 320),
    }
)


@given(st.lists(QUESTION, min_size=1))
def test_every_question_is_counted_once_on_every_level(rows):
    questions = pd.DataFrame(rows)
    table = tabulate_composition(questions)
    for level in (table["domain"] != ALL, (table["domain"] == ALL) & (table["source"] != ALL), table["source"] == ALL):
        part = table[level]
        assert part[["train", "validation"]].sum().sum() == len(rows)
        assert part["share_percent"].sum() == pytest.approx(100, abs=0.01 * len(part))
        assert not part.duplicated(KEYS).any()
    total = table.iloc[-1]
    assert total["train"] == sum(row["split"] == "train" for row in rows)
    assert total["tokens_max"] == max(row["prompt_tokens"] for row in rows)
    assert (table["tokens_p10"] <= table["tokens_p50"]).all()
    assert (table["tokens_p50"] <= table["tokens_p90"]).all()


def test_questions_are_described_and_drawn_alike_every_time(tmp_path, tiny_model, tokenizer):
    rows = [Question(**row, source="synthetic") for row in tiny.questions(40)]
    write_questions(tmp_path / "train.parquet", rows[:30], {})
    write_questions(tmp_path / "validation.parquet", rows[30:], {})
    files = {split: tmp_path / f"{split}.parquet" for split in ("train", "validation")}
    described = composition(files, tiny_model)
    assert list(described["domain"]) == [row.domain for row in rows]
    expected = [len(tokenizer(question_prompt(tokenizer, row.question))["input_ids"]) for row in rows]
    assert list(described["prompt_tokens"]) == expected
    many = described.assign(domain=[f"domain {k}" for k in range(40)])
    written = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        paths = [folder / f"composition.{suffix}" for suffix in ("csv", "md", "png", "pdf")]
        write_composition(many, *paths)
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]
    assert written[0][0].decode().splitlines()[-1].startswith("all,all,all,30,10,100.0,")
