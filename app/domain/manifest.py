"""What a finished run says of itself: `manifest.json` and `evaluation.json` in the output folder."""

from typing import Any

from app.domain.base import Frozen


class ArtifactFile(Frozen):
    """One published file."""

    name: str
    bytes: int
    sha256: str
    media_type: str


class Preprocessing(Frozen):
    """What must be done to an image before the student sees it, in this order."""

    resize_short_side: int
    """Pixels; aspect ratio kept; Pillow's `interpolation` with antialiasing."""
    center_crop: int
    """Side in pixels of the square."""
    interpolation: str
    scale: float = 1 / 255
    """Multiplies the 0..255 RGB values."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    layout: str = "NCHW, RGB, float32"


class Parity(Frozen):
    """How well an exported file, loaded from disk in its own runtime, agrees with the PyTorch student."""

    images: int
    top1_agreement: float
    max_logit_difference: float
    bound: float | None = None
    """Largest |Δlogit| that was allowed; None where nothing was judged."""


class Manifest(Frozen):
    """Everything needed to use, check and reproduce a student."""

    format_version: int = 1
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    spec: dict[str, Any]
    spec_fingerprint: str
    seed: int
    student: dict[str, Any]
    """architecture, parameters, constructor arguments."""
    teacher: dict[str, Any] | None
    """name, architecture, SHA-256 of the weights, licence; None for `scratch`."""
    dataset: dict[str, Any]
    """digest, number of images per split, how the split came to be."""
    versions: dict[str, str]
    device: str
    metrics: dict[str, float]
    seconds: dict[str, float]
    """Wall time of each stage."""
    parity: dict[str, Parity]
    """By file name."""
    files: tuple[ArtifactFile, ...]
    """All files but this one."""
