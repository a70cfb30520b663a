"""Teachers, students and their taps: any timm architecture.

B batch, C channels, P prefix tokens, K classes.
"""

import hashlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import timm
import torch
from torch import Tensor, nn

from app.domain.errors import ModelNotBuildable, WeightsUnavailable
from app.domain.files import sha256_file
from worker.training.weights import LocalWeights, list_local

STAGES = 4
RANDOM_TAG = "random"
"""`architecture.random` is the untrained control: a teacher that knows nothing."""

# forward_intermediates lists every block of a transformer or mixer, but only the handful of stages of a staged model
_MOST_STAGES = 6
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


class TappedModel(nn.Module):
    """A timm network whose stages can be read while it runs.

    Depths read: for models that list their n blocks, blocks ⌊n·k/4⌋ − 1, k = 1..4; for staged models the last four
    stages. A stage is pooled to its spatial mean; where there is a class token, that is appended. A model without
    `forward_intermediates` has no stages to read; its pre-logits vector still serves.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.indices: list[int] = []
        self._options: dict[str, Any] = {}
        if hasattr(model, "forward_intermediates"):
            count = len(model.feature_info)  # type: ignore[arg-type]
            deep = count > _MOST_STAGES
            self.indices = (
                [count * k // STAGES - 1 for k in range(1, STAGES + 1)]
                if deep
                else list(range(max(0, count - STAGES), count))
            )
            if "return_prefix_tokens" in inspect.signature(cast(Any, model).forward_intermediates).parameters:
                self._options["return_prefix_tokens"] = True

    def forward(self, images_BCHW: Tensor) -> tuple[list[Tensor], Tensor]:
        """Returns the pooled stages, shallow to deep, each [B, C_l], and the features that `head` takes."""
        model: Any = self.model
        if not self.indices:
            return [], model.forward_features(images_BCHW)
        features, maps = model.forward_intermediates(images_BCHW, indices=self.indices, **self._options)
        return [_pool(item) for item in maps], features

    def head(self, features: Tensor, *, pre_logits: bool = False) -> Tensor:
        model: Any = self.model
        return model.forward_head(features, pre_logits=pre_logits).flatten(1)


def _pool(item: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    if isinstance(item, tuple):
        map_BCHW, prefix_BPC = item
        pooled_BC = map_BCHW.mean((2, 3))
        return torch.cat([pooled_BC, prefix_BPC[:, 0]], 1) if prefix_BPC.shape[1] else pooled_BC
    return item.mean((2, 3))


class Teacher(nn.Module):
    """A frozen foundation model that answers with its taps. Always in eval mode, also after a parent's `.train()`."""

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, model: nn.Module, card: dict[str, Any], image_size: int) -> None:
        super().__init__()
        self.name = name
        self.card = card
        self.image_size = image_size
        self.tapped = TappedModel(model)
        self.register_buffer("mean", torch.tensor(card["mean"]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(card["std"]).view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.eval()
        with _explained(card["architecture"], image_size):
            self.widths = [tap.shape[1] for tap in self(torch.zeros(2, 3, image_size, image_size))]

    def train(self, mode: bool = True) -> "Teacher":
        return super().train(False)

    @torch.no_grad()
    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        """Taps of images in [0, 1] at the teacher's size: the stages, then the pre-logits vector; float32 [B, C_l]."""
        stages, features = self.tapped((images_BCHW - self.mean) / self.std)
        return [tap.float() for tap in [*stages, self.tapped.head(features, pre_logits=True)]]

    def digest(self) -> str:
        """SHA-256 over every parameter and buffer: equal before and after a job, or something changed the teacher."""
        return state_digest(self.tapped.model)


class Student(nn.Module):
    """The network to be trained. Takes images in [0, 1]; the normalisation is its own."""

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: str, model: nn.Module, kwargs: dict[str, Any], image_size: int) -> None:
        super().__init__()
        self.architecture = architecture
        self.kwargs = kwargs
        self.image_size = image_size
        self.tapped = TappedModel(model)
        self.normalisation = _normalisation(model)
        self.register_buffer("mean", torch.tensor(self.normalisation["mean"]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(self.normalisation["std"]).view(1, 3, 1, 1))
        self.eval()
        probe = torch.rand(2, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
        with torch.no_grad(), _explained(architecture, image_size):
            stages, logits = self(probe)
            direct = self.network((probe - self.mean) / self.std)
        # what is trained through the taps is exported without them
        if not torch.allclose(logits, direct, atol=1e-4, rtol=1e-4):
            raise ModelNotBuildable(
                f"'{architecture}' computes something else when its stages are read.",
                hint="Choose another student; GET /v1/students lists them.",
            )
        self.widths = [stage.shape[1] for stage in stages]
        self.train()

    @property
    def network(self) -> nn.Module:
        """The plain timm network: normalised images in, logits out."""
        return self.tapped.model

    def forward(self, images_BCHW: Tensor) -> tuple[list[Tensor], Tensor]:
        """Returns the pooled stages, each [B, C_l] (the pre-logits alone where none can be read), and logits [B, K]."""
        stages, features = self.tapped((images_BCHW - self.mean) / self.std)
        return stages or [self.tapped.head(features, pre_logits=True)], self.tapped.head(features)


def build_teacher(name: str, image_size: int | None) -> Teacher:
    """Load a frozen teacher: from a local folder if it is there, else by timm's own loading.

    Args:
        image_size: side in pixels of its views; None for the size it was pretrained at.

    Raises:
        WeightsUnavailable: the weights are neither local nor to be had, or do not match their card.
        ModelNotBuildable: timm knows no such architecture, or not at this size.
    """
    architecture, _, tag = name.partition(".")
    local = list_local().get(name)
    if local is not None:
        return _local_teacher(local, image_size)
    if not timm.is_model(architecture):
        raise ModelNotBuildable(f"timm has no architecture '{architecture}'.", hint="See GET /v1/teachers.")
    pretrained = tag != RANDOM_TAG
    if pretrained and not timm.is_model_pretrained(name):
        raise WeightsUnavailable(
            f"Neither timm nor this worker's folder of models has weights called '{name}'.",
            hint="See GET /v1/teachers; TDMR_MODELS_DIR names the folder of local weights.",
        )
    try:
        model, _ = _create(name if pretrained else architecture, image_size, pretrained=pretrained, num_classes=0)
    except ModelNotBuildable:
        raise
    except Exception as error:  # the hub's client raises its own zoo: offline, missing, gated, full disk
        raise WeightsUnavailable(
            f"The weights of '{name}' could not be loaded from timm's hub.",
            hint="Connect the worker to the network once, or put the weights into TDMR_MODELS_DIR with a card.",
        ) from error
    config: dict[str, Any] = dict(getattr(model, "pretrained_cfg", None) or {})
    card = {
        **_normalisation(model),
        "architecture": architecture,
        "licence": str(config.get("license") or "") if pretrained else "",
        "source": "timm" if pretrained else "random initial weights",
    }
    return Teacher(name, model, card, image_size or _native_size(model))


def build_student(architecture: str, classes: int, image_size: int) -> Student:
    """A student with random initial weights (torch's global generator decides them).

    Raises:
        ModelNotBuildable: timm knows no such architecture, or not at this size.
    """
    if not timm.is_model(architecture):
        raise ModelNotBuildable(f"timm has no architecture '{architecture}'.", hint="See GET /v1/students.")
    model, kwargs = _create(architecture, image_size, pretrained=False, num_classes=classes)
    return Student(architecture, model, kwargs, image_size)


def state_digest(model: nn.Module) -> str:
    """SHA-256 over the names and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _local_teacher(local: LocalWeights, image_size: int | None) -> Teacher:
    card = local.card
    if sha256_file(local.path) != card.sha256:
        raise WeightsUnavailable(
            f"The file of '{local.name}' does not match the SHA-256 on its card.",
            hint="Copy the weights again, or correct the card.",
        )
    overlay: dict[str, Any] = {"file": str(local.path), "mean": card.mean, "std": card.std}
    if not card.classifier:
        overlay["num_classes"] = 0  # then timm loads strictly: a missing key is an error, not a random layer
    try:
        model, _ = _create(
            card.architecture, image_size, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay, **card.kwargs
        )
    except RuntimeError as error:
        raise WeightsUnavailable(
            f"The weights of '{local.name}' do not fit the architecture '{card.architecture}'.",
            hint="Check the card's architecture and kwargs.",
        ) from error
    facts = {**card.model_dump(include={"architecture", "mean", "std", "licence", "source"}), "sha256": card.sha256}
    return Teacher(local.name, model, facts, image_size or card.input_size[-1])


def _create(name: str, image_size: int | None, **options: Any) -> tuple[nn.Module, dict[str, Any]]:
    """`timm.create_model`, with `img_size` for the families whose weights depend on it. Returns the kwargs used too."""
    with _explained(name, image_size):
        if image_size is not None:
            try:
                return timm.create_model(name, img_size=image_size, **options), {"img_size": image_size}
            except TypeError as error:
                if "img_size" not in str(error):
                    raise
        return timm.create_model(name, **options), {}


@contextmanager
def _explained(architecture: str, image_size: int | None) -> Iterator[None]:
    """Turns what timm raises for an impossible size into words for the user."""
    try:
        yield
    except (AssertionError, ValueError, TypeError, IndexError, RuntimeError) as error:
        if "state_dict" in str(error):  # the weights do not fit: the caller knows whose they are
            raise
        size = f" at {image_size} px" if image_size else ""
        raise ModelNotBuildable(
            f"timm cannot build '{architecture}'{size}.",
            hint="Try the size it was made for, or a multiple of 32.",
        ) from error


def _normalisation(model: nn.Module) -> dict[str, tuple[float, ...]]:
    config: dict[str, Any] = dict(getattr(model, "pretrained_cfg", None) or {})
    return {key: tuple(config.get(key) or default) for key, default in _IMAGENET.items()}


def _native_size(model: nn.Module) -> int:
    config: dict[str, Any] = dict(getattr(model, "pretrained_cfg", None) or {})
    return int((config.get("input_size") or (3, 224, 224))[-1])
