"""timm's networks: from a local folder, from timm's own loading, or untrained."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from torch import nn

from app.domain.errors import ModelNotBuildable, WeightsUnavailable
from app.domain.files import sha256_file
from worker.training.models.weights import LocalWeights, list_local

RANDOM_TAG = "random"
"""`architecture.random` is the untrained control: a teacher that knows nothing."""

_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@dataclass(frozen=True)
class Loaded:
    """A network without a classifier, and what is known of it."""

    network: nn.Module
    architecture: str
    arguments: dict[str, Any]
    """Of `timm.create_model`, beside the architecture and the number of classes."""
    card: dict[str, Any]
    """architecture, mean, std, licence, source; for local weights their sha256 too."""
    native_size: int
    """Side in pixels at which it was pretrained."""


def load(name: str, image_size: int | None, models_dir: Path | None = None) -> Loaded:
    """The weights called `name`: from a local folder if they are there, else by timm's own loading.

    Args:
        image_size: side in pixels of what it will see; None for the size it was pretrained at.
        models_dir: a folder of local weights, beside the built-in one.

    Raises:
        WeightsUnavailable: the weights are neither local nor to be had, or do not match their card.
        ModelNotBuildable: timm knows no such architecture, or not at this size.
    """
    architecture, _, tag = name.partition(".")
    every_local = list_local(models_dir)
    if name in every_local:
        return _load_local(every_local[name], image_size)
    if not timm.is_model(architecture):
        raise ModelNotBuildable(f"timm has no architecture '{architecture}'.", hint="See GET /v1/students.")
    pretrained = tag != RANDOM_TAG
    if pretrained and not timm.is_model_pretrained(name):
        raise WeightsUnavailable(
            f"Neither timm nor this worker's folder of models has weights called '{name}'.",
            hint="GET /v1/teachers lists all weights; TDMR_MODELS_DIR names the folder of local ones.",
        )
    try:
        network, arguments = create(name if pretrained else architecture, image_size, pretrained=pretrained)
    except ModelNotBuildable:
        raise
    except Exception as error:  # the hub's client raises its own zoo: offline, missing, gated, full disk
        at_hand = [weights.name for weights in every_local.values() if weights.card.architecture == architecture]
        instead = f", or name what is at hand: {', '.join(sorted(at_hand))}" if at_hand else ""
        raise WeightsUnavailable(
            f"The weights of '{name}' could not be loaded from timm's hub.",
            hint="Connect the worker to the network once, or put the weights into TDMR_MODELS_DIR with a card"
            f"{instead}.",
        ) from error
    config = _config(network)
    card = {
        **normalisation(network),
        "architecture": architecture,
        "licence": str(config.get("license") or "") if pretrained else "",
        "source": "timm" if pretrained else "random initial weights",
    }
    return Loaded(network, architecture, arguments, card, int((config.get("input_size") or (3, 224, 224))[-1]))


def create(
    name: str, image_size: int | None, *, num_classes: int = 0, **options: Any
) -> tuple[nn.Module, dict[str, Any]]:
    """`timm.create_model`, with `img_size` for the families whose weights depend on it.

    Returns the network, and the arguments that build it again beside its name and number of classes.

    Raises:
        ModelNotBuildable: timm knows no such architecture, or not at this size.
    """
    if not timm.is_model(name.partition(".")[0]):
        raise ModelNotBuildable(f"timm has no architecture '{name}'.", hint="See GET /v1/students.")
    with explained(name, image_size):
        if image_size is not None:
            try:
                network = timm.create_model(name, num_classes=num_classes, img_size=image_size, **options)
                return network, {"img_size": image_size}
            except TypeError as error:
                if "img_size" not in str(error):
                    raise
        return timm.create_model(name, num_classes=num_classes, **options), {}


def normalisation(network: nn.Module) -> dict[str, tuple[float, ...]]:
    """Mean and standard deviation of RGB in [0, 1] that the network was made for; ImageNet's where timm says none."""
    return {key: tuple(_config(network).get(key) or default) for key, default in _IMAGENET.items()}


@contextmanager
def explained(name: str, image_size: int | None) -> Iterator[None]:
    """Turns what timm raises for an impossible size into words for the user."""
    try:
        yield
    except (AssertionError, ValueError, TypeError, LookupError, AttributeError, NameError, RuntimeError) as error:
        if "state_dict" in str(error):  # the weights do not fit: the caller knows whose they are
            raise
        size = f" at {image_size} px" if image_size else ""
        raise ModelNotBuildable(
            f"timm cannot build '{name}'{size}.",
            hint="Try the size it was made for, or a multiple of 32.",
        ) from error


def _load_local(local: LocalWeights, image_size: int | None) -> Loaded:
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
        network, arguments = create(
            card.architecture, image_size, pretrained=True, pretrained_cfg_overlay=overlay, **card.kwargs
        )
    except RuntimeError as error:
        raise WeightsUnavailable(
            f"The weights of '{local.name}' do not fit the architecture '{card.architecture}'.",
            hint="Check the card's architecture and kwargs.",
        ) from error
    facts = {**card.model_dump(include={"architecture", "mean", "std", "licence", "source"}), "sha256": card.sha256}
    return Loaded(network, card.architecture, {**card.kwargs, **arguments}, facts, card.input_size[-1])


def _config(network: nn.Module) -> dict[str, Any]:
    return dict(getattr(network, "pretrained_cfg", None) or {})
