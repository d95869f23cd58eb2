"""Logs for Inspect, written and read by inspect_ai in its own environment (`make inspect`); without it: a skip."""

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

import tiny
from evaluated import NASTY, evaluate, small_settings
from generalthinker.config.load import freeze
from generalthinker.paths import Layout
from generalthinker.reporting.inspect_logs import MissingInspectError, write_inspect_logs

ROOT = Path(__file__).parent.parent
INSPECT = ROOT / ".venv-inspect/bin/python"
SCORES = ("verdict", "reason", "agreement")
READ = """
import json, sys
from inspect_ai.log import list_eval_logs, read_eval_log
for info in list_eval_logs(sys.argv[1]):
    log = read_eval_log(info)
    samples = [
        (one.id, one.input, one.output.completion, *(one.scores[name].value for name in sys.argv[2:]),
         one.scores["verdict"].answer, one.metadata["answers"])
        for one in log.samples
    ]
    accuracy = log.results.scores[0].metrics["accuracy"].value
    print(json.dumps((log.eval.task, log.eval.model, accuracy, samples)))
"""


def test_without_inspect_the_environment_is_named(tmp_path: Path) -> None:
    settings = small_settings(tmp_path)
    try:
        import inspect_ai  # noqa: F401
    except ImportError:
        with pytest.raises(MissingInspectError, match="run `make inspect`"):
            write_inspect_logs(settings, tmp_path / "logs")


@pytest.mark.skipif(not INSPECT.exists(), reason="inspect_ai has an environment of its own: make inspect")
def test_logs_hold_the_responses_their_verdicts_and_the_accuracy_of_all(tmp_path: Path) -> None:
    settings = small_settings(tmp_path)
    layout = evaluate(settings)
    environment = tiny.environment(PYTHONPATH=str(ROOT / "src"))
    command = [INSPECT, "-m", "generalthinker.cli", "inspect-logs", "--settings", freeze(settings)]
    subprocess.run([*map(str, command)], check=True, env=environment, cwd=tmp_path)
    read = subprocess.check_output([str(INSPECT), "-c", READ, layout.inspect_logs, *SCORES], text=True)
    logs = [json.loads(line) for line in read.splitlines()]
    assert len(logs) == 2 * 4
    for task, run, accuracy, samples in logs:
        of_task = [frame[frame["benchmark"] == task] for frame in map(pd.read_parquet, paths(layout, run))]
        grades, responses = (frame.set_index("id") for frame in of_task)
        assert accuracy == pytest.approx(grades["correct"].mean())
        assert {sample[0] for sample in samples} == set(grades.index)
        for id, _, text, verdict, reason, _, answer, _ in samples:
            assert text == responses.loc[id, "response"]
            assert verdict == ("C" if grades.loc[id, "correct"] else "I")
            assert reason == grades.loc[id, "reason"]
            assert (answer is None) if pd.isna(grades.loc[id, "extracted"]) else answer == grades.loc[id, "extracted"]
    [samples] = [samples for task, run, _, samples in logs if (task, run) == ("Choice", "small/RL_seed-1")]
    by_id = {sample[0]: sample for sample in samples}
    assert by_id["c 2"][1] == f"Which? {NASTY}"
    assert by_id["c/1"][5] == "all but Base"
    assert by_id["c/1"][7]["small/Base"] == "wrong, different: A"


def paths(layout: Layout, run: str) -> tuple[str, str]:
    return layout.grades(run, "all"), layout.generations(run, "all")
