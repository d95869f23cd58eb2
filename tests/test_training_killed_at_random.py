"""A training that is killed at many random moments writes the same bytes as an uninterrupted one."""

import random
import signal
import time

import pytest

from generalthinker.files import read_parquet
from interruption import start

pytestmark = pytest.mark.slow
KILLS = 20


def test_a_run_killed_at_random_moments_has_the_results_of_an_uninterrupted_one(experiment, uninterrupted):
    moments = random.Random(7)
    timing, _ = read_parquet(uninterrupted.layout.timing(uninterrupted.run.name))
    kills = 0
    while kills < KILLS:
        # Some are killed while they start, the others after a few lines of their log.
        lines = experiment.log.count("\nINFO:") + moments.randrange(4)
        process = start(experiment.settings, experiment.run.name)
        while process.is_alive() and experiment.log.count("\nINFO:") < lines:
            time.sleep(0.01)
        process.join(moments.uniform(0, 2) * timing["seconds"].mean())
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL), experiment.log
        kills += process.exitcode == -signal.SIGKILL
    assert experiment.train() == 0, experiment.log
    assert experiment.results == uninterrupted.results
