r"""A training whose responses give nothing to learn from says so: in its log, in `status` and in the report."""

import logging
import re

import pytest

import tiny
from generalthinker.metrics import SIGNAL_STEPS, nothing_to_learn
from generalthinker.reporting.queue import Queue
from generalthinker.reporting.report import write_report
from generalthinker.reporting.status import status
from generalthinker.training.history import History

GOOD = {"truncated_share": 0.2, "boxed_share": 0.7, "zero_std_share": 0.25, "reward": -4.0}


def words(found):
    return [next(word for word in ("token limit", "boxed", "rewards are equal") if word in text) for text in found]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"truncated_share": 1.0}, ["token limit"]),
        ({"boxed_share": 0.0}, ["boxed"]),
        ({"zero_std_share": 1.0}, ["rewards are equal"]),
        ({"truncated_share": 0.9, "boxed_share": 0.1, "zero_std_share": 0.9}, []),
        (
            {"truncated_share": 1.0, "boxed_share": 0.0, "zero_std_share": 1.0},
            ["token limit", "boxed", "rewards are equal"],
        ),
        ({"boxed_share": None}, []),
    ],
)
def test_what_hinders_learning_is_named_from_the_third_step_on(changed, expected):
    rows = [GOOD | changed] * SIGNAL_STEPS
    assert words(nothing_to_learn(rows)) == expected
    assert nothing_to_learn(rows[1:]) == []


def test_one_step_with_a_signal_is_enough():
    bad = GOOD | {"boxed_share": 0.0, "truncated_share": 1.0, "zero_std_share": 1.0}
    assert nothing_to_learn([bad, bad, bad, GOOD, bad]) == []


def test_histories_without_the_column_are_judged_by_the_others():
    old = {name: value for name, value in GOOD.items() if name != "boxed_share"} | {"zero_std_share": 1.0}
    assert words(nothing_to_learn([old] * 5)) == ["rewards are equal"]


def test_the_log_warns_once_and_again_after_a_resume(tmp_path, caplog):
    class State:
        is_world_process_zero, global_step, max_steps = True, 0, 9

    def steps(history, count, boxed):
        for _ in range(count):
            State.global_step += 1
            logs = {"loss": 0.0, "reward": -30.0, "completions/boxed": boxed, "frac_reward_zero_std": 0.0}
            history.on_log(None, State, None, logs | {"completions/clipped_ratio": 0.0})

    def warned():
        return [int(r.getMessage().split()[1].rstrip(":")) for r in caplog.records if r.levelno == logging.WARNING]

    history = History(tmp_path, {"rollout": 0.0, "scoring": 0.0})
    steps(history, 5, boxed=0.0)
    assert warned() == [SIGNAL_STEPS]
    steps(history, 2, boxed=1.0)
    resumed = History(tmp_path, {"rollout": 0.0, "scoring": 0.0})
    State.global_step = 4
    resumed.trim(4)
    steps(resumed, 1, boxed=0.0)
    assert warned() == [SIGNAL_STEPS, 5]


def test_a_real_training_without_a_signal_says_so_everywhere(tmp_path, tiny_model, caplog):
    settings = tiny.settings(tmp_path, tiny_model, max_completion_tokens=3, max_steps=3)
    [run] = settings.runs(tiny.choice("GeneralThinker"))
    with caplog.at_level(logging.WARNING, logger="generalthinker"):
        tiny.train(settings, run)
    [warning] = [record.getMessage() for record in caplog.records if "nothing to learn" in record.getMessage()]
    assert words(warning.split("; ")) == ["token limit", "boxed", "rewards are equal"]
    assert "step 3" in warning
    assert "training.max_completion_tokens" in warning

    shown = status(settings, queue=Queue())
    assert "Nothing to learn from:" in shown
    assert re.search(rf"{run.name}: \d+% of the responses reach the token limit", shown)

    write_report(settings, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert re.search(r"had nothing to learn from: \d+% of the responses reach the token limit", page)


def test_a_real_training_with_a_signal_says_nothing(tmp_path, tiny_model, caplog):
    settings = tiny.settings(tmp_path, tiny_model, max_steps=3)
    [run] = settings.runs(tiny.choice("GeneralThinker"))
    tiny.train(settings, run)
    assert not [record for record in caplog.records if "nothing to learn" in record.getMessage()]
    assert "Nothing to learn from" not in status(settings, queue=Queue())
