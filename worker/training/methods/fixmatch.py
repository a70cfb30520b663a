"""`fixmatch`: semi-supervised, without a teacher (Sohn et al., 2020, arXiv 2001.07685).

B batch, U unlabelled images of it, K classes.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, StrictFloat

from worker.training.data.views import strongly_changed
from worker.training.engine.loop import StepOutput
from worker.training.methods.task import UNLABELLED, DistillBatch, MethodConfig, Parts, StudentTask, method
from worker.training.models.networks import StudentAnswer


class FixMatchConfig(MethodConfig):
    """The own options of `fixmatch`, with the published values. Published too: seven unlabelled images to one that is
    labelled, which is a `label_share` of 0.125."""

    threshold: StrictFloat = Field(default=0.95, ge=0, le=1)
    """So sure the student must be of an image for its guess to count as a label."""
    unlabelled_weight: StrictFloat = Field(default=1.0, ge=0, le=100)
    """Weight of the cross-entropy on guessed labels."""


class FixMatchTask(StudentTask):
    """CE on the labels + `unlabelled_weight` CE on the student's own guesses. It guesses from a plain view of an image
    without a label, and learns its guess, where it is sure, from a view of the same image that is hard to tell."""

    Config: ClassVar[type[MethodConfig]] = FixMatchConfig
    options: FixMatchConfig

    def forward(self, batch: DistillBatch, progress: float) -> StepOutput:
        rows_U = (batch.labels_B < 0).nonzero().flatten()
        if len(rows_U):
            plain = batch.images_BCHW[rows_U]
            with torch.no_grad():
                guess_UK = self.student.answer(plain).logits.float()
            images, guesses = batch.images_BCHW.clone(), guess_UK.new_zeros(len(batch.labels_B), guess_UK.shape[1])
            images[rows_U] = strongly_changed(plain, batch.numbers_BN[rows_U.cpu()])
            guesses[rows_U] = guess_UK
            batch = batch._replace(images_BCHW=images, teacher_logits_BK=guesses)
        return super().forward(batch, progress)

    def parts(self, answer: StudentAnswer, batch: DistillBatch, _progress: float) -> Parts:
        """Of the labels alone where there is no guess: no unlabelled image, or a head that learns before the body."""
        unlabelled_B = batch.labels_B < 0
        labelled = (~unlabelled_B).sum().clamp(min=1)
        # published as a mean over each kind of image, where `ce` is one over the batch
        parts: Parts = {"ce": (1.0, self.ce(answer, batch) * len(unlabelled_B) / labelled)}
        if batch.teacher_logits_BK is not None:
            sure, guessed_B = batch.teacher_logits_BK.softmax(1).max(1)
            counts_B = unlabelled_B & (sure >= self.options.threshold)
            each_B = F.cross_entropy(answer.logits.float(), guessed_B, reduction="none")
            loss = (each_B * counts_B).sum() / unlabelled_B.sum()
            parts["guessed"] = (self.options.unlabelled_weight, loss)
            parts["sure"] = (0.0, counts_B.sum() / unlabelled_B.sum())
        return parts


METHODS = (
    method(
        FixMatchTask,
        "fixmatch",
        "Labels, and the student's own confident guesses on unlabelled images: semi-supervised, without a teacher.",
        paper="Sohn et al., 2020, arXiv 2001.07685",
        needs_teacher=False,
        reads=UNLABELLED,
    ),
)
