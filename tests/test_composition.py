"""The composition table counts every question once, and its figure can be drawn from any mixture."""

import subprocess
import sys

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import tiny
from generalthinker.config import load
from generalthinker.data.questions import write_questions
from generalthinker.errors import StageError
from generalthinker.paths import Layout
from generalthinker.records import Question
from generalthinker.reporting.composition import (
    ALL,
    KEYS,
    read_composition,
    tabulate_composition,
    write_composition,
)

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


def write_files(train, validation):
    """Write 30 training and 10 validation questions; return all 40 in order, and their prompt lengths."""
    questions = [Question(**row, source="synthetic") for row in tiny.questions(40)]
    lengths = list(range(20, 60))
    write_questions(train, questions[:30], {}, lengths[:30])
    write_questions(validation, questions[30:], {}, lengths[30:])
    return questions, lengths


def test_questions_are_read_with_their_stored_lengths_and_drawn_alike_every_time(tmp_path):
    files = {split: tmp_path / f"{split}.parquet" for split in ("train", "validation")}
    questions, lengths = write_files(*files.values())
    read = read_composition(files)
    assert list(read["split"]) == ["train"] * 30 + ["validation"] * 10
    assert list(read["domain"]) == [question.domain for question in questions]
    assert list(read["prompt_tokens"]) == lengths
    many = read.assign(domain=[f"domain {k}" for k in range(40)])
    written = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        paths = [folder / f"composition.{suffix}" for suffix in ("csv", "md", "png", "pdf")]
        write_composition(many, *paths)
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]
    assert written[0][0].decode().splitlines()[-1] == "all,all,all,30,10,100.0,23,39,55,59"


def test_the_command_needs_no_model(tmp_path):
    """There is no tokenizer in the results folder, and no module of transformers may be imported."""
    override = tmp_path / "override.yaml"
    override.write_text(yaml.safe_dump({"results": str(tmp_path / "results")}))
    layout = Layout(load([tiny.DEMO, override]).results)
    write_files(layout.train, layout.validation)
    code = "import sys; sys.modules['transformers'] = None; from generalthinker.cli import main; main()"
    arguments = ["composition", "--settings", f"{tiny.DEMO},{override}"]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, timeout=120)
    assert (tmp_path / "results/composition.csv").read_text().splitlines()[-1].startswith("all,all,all,30,10,100.0,")


def test_a_file_without_prompt_lengths_is_named_with_what_to_do(tmp_path):
    write_questions(tmp_path / "train.parquet", [Question(**tiny.questions(1)[0], source="synthetic")], {})
    with pytest.raises(StageError, match=r"train\.parquet.*'prompt_tokens'.*`generalthinker mixture`"):
        read_composition({"train": tmp_path / "train.parquet"})
