"""Teachers, students and how they run on this machine: any timm architecture.

B batch, C channels, F pre-logits width, K classes.
"""

import hashlib
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from app.domain.errors import ModelNotBuildable, WeightsUnavailable
from worker.training.models.folding import fold_batch_norms
from worker.training.models.loading import RANDOM_TAG, create, explained, load, normalisation
from worker.training.models.taps import STAGES, TappedModel

__all__ = ["NOT_STATED", "STAGES", "Execution", "Student", "StudentAnswer", "Teacher", "build_student", "build_teacher"]

NOT_STATED = "not stated"
"""A licence that whoever published the weights did not name."""


class Execution(NamedTuple):
    """How a network computes on a machine. It changes roundings, so it belongs to what makes a run repeatable."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the stages; weights, norms' statistics, pooling and the head stay in float32."""
    channels_last: bool = False
    """The order of an image's numbers in memory."""


class Network(nn.Module):
    """What teacher and student share: images in [0, 1] go in, the normalisation is the network's own."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, facts: dict[str, Any], image_size: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.execution = Execution()
        self.tapped = TappedModel(model)
        self.normalisation: dict[str, tuple[float, ...]] = {key: tuple(facts[key]) for key in ("mean", "std")}
        for key, values in self.normalisation.items():
            self.register_buffer(key, torch.tensor(values).view(1, 3, 1, 1))
        self.eval()
        example = self.example(2)
        with torch.no_grad(), explained(facts["architecture"], image_size):
            if not self.tapped.choose_way((example - self.mean) / self.std):
                raise ModelNotBuildable(
                    f"'{facts['architecture']}' computes something else when its stages are read.",
                    hint="Choose another one; GET /v1/students lists them.",
                )
            stages, features = self.read(example)
            pre_logits = self.tapped.head(features, pre_logits=True)
        self.stage_widths = [stage.shape[1] for stage in stages]
        self.pre_logits_width = pre_logits.shape[1]

    def example(self, images: int) -> Tensor:
        """Made-up images in [0, 1], always the same, [B, 3, S, S]. Looking at a network changes no random numbers."""
        pixels = torch.rand(images, 3, self.image_size, self.image_size, generator=torch.Generator().manual_seed(0))
        return pixels.to(self.mean.device)

    @property
    def network(self) -> nn.Module:
        """The plain timm network: normalised images in, logits (of a teacher: its pre-logits) out."""
        return self.tapped.model

    @property
    def precision(self) -> str:
        return self.execution.precision

    def run_as(self, execution: Execution) -> Self:
        """Compute like this from now on."""
        self.execution = execution
        wanted = torch.channels_last if execution.channels_last else torch.contiguous_format
        self.network.to(memory_format=wanted)
        return self

    def read(self, images_BCHW: Tensor) -> tuple[list[Tensor], Any]:
        """Returns the pooled stages, each [B, C_l], and the features that `tapped.head` takes; all in float32."""
        images_BCHW = (images_BCHW - self.mean) / self.std
        if self.execution.channels_last:
            images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
        low = self.execution.precision == "bfloat16"
        with torch.autocast(images_BCHW.device.type, torch.bfloat16, enabled=low):
            stages, features = self.tapped(images_BCHW)
        return stages, _as_float32(features) if low else features


class Teacher(Network):
    """A frozen foundation model that answers with its taps. Always in eval mode, also after a parent's `.train()`."""

    def __init__(self, name: str, model: nn.Module, card: dict[str, Any], image_size: int) -> None:
        super().__init__(model, card, image_size)
        self.name = name
        self.card = card
        self.widths = [*self.stage_widths, self.pre_logits_width]
        self.requires_grad_(False)
        self.tapped.model = fold_batch_norms(self.network, self._answers_of)

    def _answers_of(self, network: nn.Module) -> list[Tensor]:
        self.tapped.model = network
        return self(self.example(2))

    def train(self, mode: bool = True) -> Self:
        return super().train(False)

    @torch.no_grad()
    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        """Taps of images in [0, 1] at the teacher's size: the stages, then the pre-logits vector; float32 [B, C_l]."""
        stages, features = self.read(images_BCHW)
        return [*stages, self.tapped.head(features, pre_logits=True)]

    def digest(self) -> str:
        """SHA-256 over every parameter and buffer: equal before and after a job, or something changed the teacher."""
        return state_digest(self.network)


class StudentAnswer(NamedTuple):
    """All that a student says of its images, in float32."""

    stages: list[Tensor]
    """Pooled, shallow to deep, each [B, C_l]; the pre-logits alone where no stage can be read."""
    pre_logits: Tensor
    """What the classifier sees, [B, F]."""
    logits: Tensor
    """[B, K]."""


class Student(Network):
    """The network to be trained."""

    keeps_statistics = False
    """Whether its batch norms go on with the statistics that they came with; see `build_student`."""

    def __init__(
        self,
        architecture: str,
        model: nn.Module,
        kwargs: dict[str, Any],
        image_size: int,
        normalised: dict[str, tuple[float, ...]],
    ) -> None:
        super().__init__(model, {**normalised, "architecture": architecture}, image_size)
        self.architecture = architecture
        self.kwargs = kwargs
        self.licence: str | None = None
        """Of the pretrained weights it begins from; None where they are random."""
        self.weights: str | None = None
        """Their name."""
        self.widths = self.stage_widths or [self.pre_logits_width]
        self.train()

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.keeps_statistics:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def forward(self, images_BCHW: Tensor) -> tuple[list[Tensor], Tensor]:
        """Returns the pooled stages, each [B, C_l] (the pre-logits alone where none can be read), and logits [B, K]."""
        stages, features = self.read(images_BCHW)
        return stages or [self.tapped.head(features, pre_logits=True)], self.tapped.head(features)

    def answer(self, images_BCHW: Tensor) -> StudentAnswer:
        """`forward`, and the pre-logits vector beside it."""
        stages, features = self.read(images_BCHW)
        pre_logits, logits = self.tapped.heads(features)
        return StudentAnswer(stages or [pre_logits], pre_logits, logits)


def build_teacher(name: str, image_size: int | None, models_dir: Path | None = None) -> Teacher:
    """Load a frozen teacher: from a local folder if it is there, else by timm's own loading.

    Args:
        image_size: side in pixels of its views; None for the size it was pretrained at.
        models_dir: a folder of local weights, beside the built-in one.

    Raises:
        WeightsUnavailable: the weights are neither local nor to be had, or do not match their card.
        ModelNotBuildable: timm knows no such architecture, or not at this size.
    """
    loaded = load(name, image_size, models_dir)
    return Teacher(name, loaded.network, loaded.card, image_size or loaded.native_size)


def build_student(
    name: str, classes: int, image_size: int, pretrained: bool = False, models_dir: Path | None = None
) -> Student:
    """A student, with a classifier of its own for these classes.

    A pretrained one keeps the statistics of its batch norms. Those of its own small batches, all of one task, are
    others: a linear classifier on `tf_efficientnet_lite0` at 128 px, learnt from 375 clothes, has 71 % with the first
    and 53 % with the second (docs/benchmarks/pretrained.md). Their scales and shifts learn all the same.

    Args:
        name: `architecture` or `architecture.tag`. The tag only selects the weights, so without `pretrained` it says
            nothing; without a tag they are timm's default ones.
        pretrained: start from those weights, found as a teacher's are. Else torch's global generator decides all
            weights; it always decides the classifier's.
        models_dir: a folder of local weights, beside the built-in one.

    Raises:
        WeightsUnavailable: the weights are neither local nor to be had, or do not match their card.
        ModelNotBuildable: timm knows no such architecture, or not at this size.
    """
    architecture, _, tag = name.partition(".")
    if not pretrained:
        network, kwargs = create(architecture, image_size, num_classes=classes)
        return Student(architecture, network, kwargs, image_size, normalisation(network))
    if tag == RANDOM_TAG:
        raise WeightsUnavailable(f"'{name}' has no pretrained weights.", hint="Leave out 'pretrained', or the tag.")
    body = load(name, image_size, models_dir)
    network, _ = create(body.architecture, None, num_classes=classes, **body.arguments)
    # the body was loaded strictly and lacks nothing but the classifier, so what it does not hold is the new one
    network.load_state_dict(body.network.state_dict(), strict=False)
    normalised = {key: body.card[key] for key in ("mean", "std")}
    student = Student(body.architecture, network, body.arguments, image_size, normalised)
    student.licence, student.weights = body.card.get("licence") or NOT_STATED, name
    student.keeps_statistics = True
    return student.train()


def state_digest(model: nn.Module) -> str:
    """SHA-256 over the names and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _as_float32(features: Any) -> Any:
    """Some families give several maps."""
    if isinstance(features, Tensor):
        return features.float()
    return type(features)(_as_float32(part) for part in features)
