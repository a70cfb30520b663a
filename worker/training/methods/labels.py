"""`scratch` and `finetune`: the labels alone, without a teacher."""

from worker.training.methods.task import DistillBatch, Parts, StudentTask, method
from worker.training.models.networks import StudentAnswer


class LabelsTask(StudentTask):
    """Cross-entropy on the labels. The two methods differ in the student's initial weights alone."""

    def parts(self, answer: StudentAnswer, batch: DistillBatch, _progress: float) -> Parts:
        return {"ce": (1.0, self.ce(answer, batch))}


METHODS = (
    method(
        LabelsTask,
        "scratch",
        "Cross-entropy on the labels alone, from random weights: the floor every method must beat.",
        needs_teacher=False,
        starts_random=True,
    ),
    method(
        LabelsTask,
        "finetune",
        "Cross-entropy on the labels, from the student's own pretrained weights.",
        needs_teacher=False,
        starts_pretrained=True,
    ),
)
