"""What a finished run says of itself: `manifest.json`.

A job of one student writes one. A job of several writes one in each student's folder, as if that student had been
trained alone, and one above them that lists the files of all.
"""

from typing import Any

from app.domain.base import Frozen


class ArtifactFile(Frozen):
    """One published file."""

    name: str
    """Path below the manifest's folder, with forward slashes: `student.onnx`, or `resnet18/student.onnx`."""
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
    preprocessing: Preprocessing | None
    """None where `student` is."""
    spec: dict[str, Any]
    spec_fingerprint: str
    seed: int
    student: dict[str, Any] | None
    """architecture, parameters, constructor arguments; None for `probe`, and above several students."""
    teacher: dict[str, Any] | None
    """name, architecture, SHA-256 of the weights, licence; None for a method that needs none."""
    dataset: dict[str, Any]
    """digest, number of images per split, how the split came to be."""
    versions: dict[str, str]
    device: str
    metrics: dict[str, float]
    """Fractions by name; above several students, `<student>/` stands before the name of what is a student's own."""
    seconds: dict[str, float]
    """Wall time of each stage in the attempt that ended the job, and of `decode` and `teacher` within `prepare`; above
    several students also of each one's part, as `distill/<student>`. What an earlier attempt or another job had done is
    read, not computed, so it takes next to nothing."""
    parity: dict[str, Parity]
    """By file name."""
    files: tuple[ArtifactFile, ...]
    """All files but this one."""
