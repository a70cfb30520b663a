"""The real training command, killed in the middle of stage 2: what another host does again, step by step."""

import sys
from typing import Any

import pytest

from app.domain.states import JobState
from tests.integration.supervising import Harness, wait_for
from tests.support import children
from worker.supervisor import TRAIN

STEPS = 100
"""Each is a point of the curve."""
TOY: dict[str, Any] = {
    "image_size": 32,
    "distill": {"image_steps": 8 * STEPS, "batch_size": 8},
    "export": {"formats": ["torchscript"], "measure": False},
}
# a checkpoint interval of one step, so that steps can be counted instead of seconds
SETTINGS: dict[str, Any] = {"device": "cpu", "precision": "float32", "checkpoint_seconds": 1e-6}


def kill_training(harness: Harness, job_id: str) -> None:
    (child,) = children(str(harness.out(job_id)))
    child.kill()


@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)  # two hosts share no SQLite file
class TestKilledHalfWay:
    def test_another_host_repeats_at_most_one_checkpoint_interval(self, harness: Harness) -> None:
        harness.settings = harness.settings.model_copy(update=SETTINGS)
        job_id = harness.submit(**TOY)

        with harness.running(command=TRAIN):
            wait_for(lambda: harness.steps(job_id, 1)[-1:] >= [STEPS // 2])
            kill_training(harness, job_id)
        assert (harness.job(job_id).state, harness.requeued) == (JobState.QUEUED, [job_id])
        harness.elsewhere().supervisor(command=TRAIN).run_next()

        assert (harness.job(job_id).state, harness.job(job_id).epoch) == (JobState.SUCCEEDED, 2)
        first, second = harness.steps(job_id, 1), harness.steps(job_id, 2)
        assert first == list(range(1, first[-1] + 1))
        assert second == list(range(second[0], STEPS + 1))
        assert STEPS // 2 <= first[-1] < STEPS
        twice = sorted({*first} & {*second})
        sys.stdout.write(f"Killed at step {first[-1]} of {STEPS}; done twice: {len(twice)}.\n")
        assert len(twice) <= 1
        assert second[0] <= first[-1] + 1  # and none is left out
