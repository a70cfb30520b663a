"""The real training command, killed in the middle of stage 2: what another host does again, step by step."""

import sys
from typing import Any

import psutil

from app.domain.states import JobState
from tests.integration.supervising import Room, wait_for
from worker.supervisor import TRAIN

STEPS = 100
"""Each is a point of the curve."""
TOY: dict[str, Any] = {
    "image_size": 32,
    "distill": {"image_steps": 8 * STEPS, "batch_size": 8},
    "export": {"formats": ["torchscript"], "measure": False},
}
# a checkpoint interval of one step, so that steps can be counted instead of seconds
COMMAND = ("env", "TDMR_CHECKPOINT_SECONDS=0", *TRAIN)


def kill_training(room: Room, job_id: str) -> None:
    out = str(room.out(job_id))
    (child,) = (child for child in psutil.Process().children() if out in child.cmdline())
    child.kill()


class TestKilledHalfWay:
    def test_another_host_repeats_at_most_one_checkpoint_interval(self, room: Room) -> None:
        room.settings = room.settings.model_copy(update={"device": "cpu", "precision": "float32"})
        job_id = room.submit(**TOY)

        with room.running(command=COMMAND):
            wait_for(lambda: room.steps(job_id, 1)[-1:] >= [STEPS // 2])
            kill_training(room, job_id)
        assert (room.job(job_id).state, room.requeued) == (JobState.QUEUED, [job_id])
        room.elsewhere().supervisor(command=COMMAND).run_next()

        assert (room.job(job_id).state, room.job(job_id).epoch) == (JobState.SUCCEEDED, 2)
        first, second = room.steps(job_id, 1), room.steps(job_id, 2)
        assert first == list(range(1, first[-1] + 1))
        assert second == list(range(second[0], STEPS + 1))
        assert STEPS // 2 <= first[-1] < STEPS
        twice = sorted({*first} & {*second})
        sys.stdout.write(f"Killed at step {first[-1]} of {STEPS}; done twice: {len(twice)}.\n")
        assert len(twice) <= 1
        assert second[0] <= first[-1] + 1  # and none is left out
