"""Which checkpoint a run continues from: the newest that is complete and unchanged."""

import logging
from types import SimpleNamespace

import pytest

from generalthinker.training.checkpoints import MARK, DamagedCheckpointError, MarkComplete, newest_good, require_good


def write_checkpoint(folder, step, marked=True):
    checkpoint = folder / f"checkpoint-{step}"
    (checkpoint / "deeper").mkdir(parents=True)
    (checkpoint / "weights").write_text(f"weights of step {step}")
    (checkpoint / "deeper/state").write_text("state")
    if marked:
        args, state = SimpleNamespace(output_dir=folder), SimpleNamespace(global_step=step, is_world_process_zero=True)
        MarkComplete().on_save(args, state, None)
    return checkpoint


def test_without_checkpoints_there_is_none(tmp_path):
    assert newest_good(tmp_path) is None


def test_the_newest_is_the_one_with_the_highest_step(tmp_path):
    for step in (9, 100, 20):
        write_checkpoint(tmp_path, step)
    assert newest_good(tmp_path).name == "checkpoint-100"


def lose_a_file(checkpoint):
    (checkpoint / "deeper/state").unlink()


def truncate(checkpoint):
    (checkpoint / "weights").write_text("weights of")


def change_a_byte(checkpoint):
    (checkpoint / "deeper/state").write_text("stale")


def never_finish(checkpoint):
    (checkpoint / MARK).unlink()


def break_the_mark(checkpoint):
    (checkpoint / MARK).write_text('{"weights": "ab')


DAMAGES = pytest.mark.parametrize(
    ("damage", "report"),
    [
        (lose_a_file, "deeper/state is missing"),
        (truncate, "weights has changed since it was written"),
        (change_a_byte, "deeper/state has changed since it was written"),
        (never_finish, "it was not finished"),
        (break_the_mark, "its complete.json cannot be read"),
    ],
)


@DAMAGES
def test_a_damaged_newest_is_reported_removed_and_the_one_before_is_used(tmp_path, caplog, damage, report):
    good, bad = write_checkpoint(tmp_path, 1), write_checkpoint(tmp_path, 2)
    damage(bad)
    with caplog.at_level(logging.WARNING):
        assert newest_good(tmp_path) == good
    assert f"{bad} is not used: {report}" in caplog.text
    assert not bad.exists(), "training writes this step again"


@DAMAGES
def test_a_damaged_best_is_never_taken(tmp_path, damage, report):
    best = write_checkpoint(tmp_path, 2)
    assert require_good(best) == best
    damage(best)
    with pytest.raises(DamagedCheckpointError, match=f"{best}, the best on .*{report}.*validate_every"):
        require_good(best)
    assert best.exists()


def test_several_bad_ones_in_a_row_are_passed_over(tmp_path):
    good = write_checkpoint(tmp_path, 3)
    write_checkpoint(tmp_path, 4, marked=False)
    change_a_byte(write_checkpoint(tmp_path, 5))
    assert newest_good(tmp_path) == good
    change_a_byte(good)
    assert newest_good(tmp_path) is None


def test_only_the_main_process_marks(tmp_path):
    checkpoint = write_checkpoint(tmp_path, 1, marked=False)
    state = SimpleNamespace(global_step=1, is_world_process_zero=False)
    MarkComplete().on_save(SimpleNamespace(output_dir=tmp_path), state, None)
    assert not (checkpoint / MARK).exists()
