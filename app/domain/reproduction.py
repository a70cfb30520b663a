"""How well a job that repeats another one came to the same result."""

from app.domain.base import Frozen


class Reproduction(Frozen):
    """Of a job that `POST /v1/jobs/{id}/rerun` made, beside the job that it repeats."""

    tensors_equal: bool | None
    """Whether every weight of every student is the same, bit by bit: to be expected on the same kind of machine, with
    the same versions and number of threads. None where the repeated job's files are gone."""
    accuracy_difference: float | None
    """Top-1 on the evaluated images, this job minus the repeated one; of several students the largest. None where the
    repeated job did not come so far."""
