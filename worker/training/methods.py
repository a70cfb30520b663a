"""From the name of a method to what stage 2 trains."""

from collections.abc import Sequence

from torch import Tensor

from app.domain.spec import Method, TrainingSpec
from worker.training.baselines import DistTask, DkdTask, FitnetTask, KdTask, LabelsTask, RkdTask, SimkdTask
from worker.training.distill import Setting, StudentTask, TdmrTask
from worker.training.handover import Handover
from worker.training.models import Student
from worker.training.reprogram import LinearProbe, Reprogrammer

_TASKS: dict[Method, type[StudentTask]] = {
    Method.TDMR: TdmrTask,
    Method.REPROGRAMMED_KD: KdTask,
    Method.KD: KdTask,
    Method.FITNET: FitnetTask,
    Method.RKD: RkdTask,
    Method.DKD: DkdTask,
    Method.DIST: DistTask,
    Method.SIMKD: SimkdTask,
    Method.FINETUNE: LabelsTask,
    Method.SCRATCH: LabelsTask,
}
"""`probe` has no stage 2."""


def build_task(
    spec: TrainingSpec,
    student: Student,
    reprogrammer: Reprogrammer | None,
    probe: LinearProbe | None,
    tap_widths: Sequence[int],
    class_weights_K: Tensor | None,
    handover: Handover | None = None,
) -> StudentTask:
    """What `fit` trains in stage 2 for `spec.method`. Its connectors and the like draw from torch's global generator.

    Args:
        student: on its device already; some methods change its classifier until `finish` is called on what `fit`
            returned.
        reprogrammer: for the methods that reprogram, else None.
        probe: None where the method has no teacher.
        tap_widths: of the teacher's stages and its pre-logits vector; empty without a teacher.
        class_weights_K: multiply the cross-entropy of each class's labelled images; None for equal weights.
        handover: read by `tdmr`.

    Raises:
        InvalidSpec: the method cannot train this student.
    """
    return _TASKS[spec.method](
        Setting(spec, student, reprogrammer, probe, tuple(tap_widths), class_weights_K, handover)
    )
