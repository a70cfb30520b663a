"""`simkd`: the student takes over the teacher's classifier (Chen et al., arXiv 2203.14001).

B batch, C channels.
"""

import copy
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.domain.errors import InvalidSpec
from worker.training.methods.task import UNLABELLED, DistillBatch, Parts, Setting, StudentTask, method, pre_logits_tap
from worker.training.models.networks import Student, StudentAnswer


class SimkdTask(StudentTask):
    """MSE(projector(h), û): the student learns the teacher's features and takes over its classifier.

    Chen et al., arXiv 2203.14001. h is the student's pre-logits vector, û the teacher's standardised one, and the
    classifier is the frozen probe. The published projector is convolutional. Ours is linear, so that it and the probe
    fold into one Linear without a rest: the student stays the plain network the user asked for. While training the two
    stand in the network in place of its own classifier, so that the averaged weights and every evaluation see what will
    be delivered.

    Raises:
        InvalidSpec: the student's classifier is not a single Linear.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        assert setting.probe is not None
        classifier = _classifier(self.student.network)
        if not isinstance(classifier, nn.Linear) or classifier.bias is None:
            raise InvalidSpec(
                f"'simkd' needs a student that ends in one linear layer, and '{self.student.architecture}' does not.",
                hint="Choose another student, resnet18 for example, or another method.",
                param="student",
            )
        self._width = setting.tap_widths[-1]
        _replace_classifier(self.student.network, BorrowedClassifier(classifier.in_features, setting.probe.linear))

    def parts(self, answer: StudentAnswer, batch: DistillBatch, _progress: float) -> Parts:
        projected = _classifier(self.student.network).projector(answer.pre_logits)
        return {"feature": (1.0, F.mse_loss(projected.float(), pre_logits_tap(batch, self._width)))}

    def finish(self, delivered: Student) -> None:
        _replace_classifier(delivered.network, _classifier(delivered.network).folded())


class BorrowedClassifier(nn.Module):
    """probe(projector(h)): from the student's pre-logits into the teacher's, and on with the teacher's frozen probe."""

    def __init__(self, width: int, probe: nn.Linear) -> None:
        super().__init__()
        self.projector = nn.Linear(width, probe.in_features, device=probe.weight.device)
        self.probe = copy.deepcopy(probe)

    def forward(self, pre_logits_BC: Tensor) -> Tensor:
        return self.probe(self.projector(pre_logits_BC))

    @torch.no_grad()
    def folded(self) -> nn.Linear:
        """Both layers as one, multiplied in float64."""
        weight, bias = (x.double() for x in (self.probe.weight, self.probe.bias))
        one = nn.Linear(self.projector.in_features, self.probe.out_features, device=weight.device)
        one.weight.copy_(weight @ self.projector.weight.double())
        one.bias.copy_(weight @ self.projector.bias.double() + bias)
        return one


def _classifier(network: nn.Module) -> Any:
    """timm's own name for it, which `nn.Module` does not declare."""
    return cast(Any, network).get_classifier()


def _replace_classifier(network: nn.Module, new: nn.Module) -> None:
    old = _classifier(network)
    name = next(name for name, module in network.named_modules() if module is old)
    network.set_submodule(name, new.train(old.training))


METHODS = (
    method(
        SimkdTask,
        "simkd",
        "The student learns the teacher's features and takes over the probe as its classifier.",
        paper="Chen et al., 2022, arXiv 2203.14001",
        needs_taps=True,
        reads=UNLABELLED,
    ),
)
