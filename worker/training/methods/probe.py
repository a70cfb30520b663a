"""`probe`: how good the frozen teacher is on this data."""

from worker.training.methods.task import method

METHODS = (
    method(
        None,
        "probe",
        "The linear probe on the frozen teacher alone; no student is trained.",
        needs_student=False,
        reads={"use_unlabelled"},
    ),
)
