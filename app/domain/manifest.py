"""The record of a finished run: `manifest.json`.

A job of one student writes one. A job of several writes one in each student's folder, as if that student had been
trained alone, and one above them that lists the files of all.
"""

from typing import Any

from app.domain.base import Frozen
from app.domain.model_selection import Choice


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
    """Pillow's filter: `bilinear` or `bicubic`."""
    scale: float = 1 / 255
    """Multiplies the 0..255 RGB values."""
    mean: tuple[float, float, float]
    """Subtracted from each channel, after `scale`."""
    std: tuple[float, float, float]
    """Divides each channel, after `mean`."""
    layout: str = "NCHW, RGB, float32"
    """Of the array that the student takes."""


class Parity(Frozen):
    """How well an exported file, loaded from disk in its own runtime, agrees with the PyTorch student."""

    images: int
    top1_agreement: float
    max_logit_difference: float
    bound: float | None = None
    """Max |Δlogit| allowed; None for int8, which is judged by its accuracy."""
    accuracy_loss: float | None = None
    """Of int8: the student's accuracy less the file's, on the same images. Negative where the file is better."""
    accuracy_loss_interval: tuple[float, float] | None = None
    """95 % interval of that loss, from images that only one of the two has right (Agresti and Min, 2005)."""
    accuracy_loss_bound: float | None = None
    """Above this the file is withheld."""


class Latency(Frozen):
    """How long one call of an exported file took on the worker. Preprocessing is not included, except for a file that
    contains it, which is called with one picture of 640 × 480 pixels."""

    device: str
    """`cpu`, or the name of the GPU."""
    threads: int
    batch: int
    """Images per call."""
    p50_ms: float
    """Median of the calls."""
    p95_ms: float
    """95th percentile. Far above `p50_ms` if the machine was busy."""
    calls: int
    """Timed calls, after the warm-up."""


class Measurement(Frozen):
    """Size and speed of a file."""

    bytes: int
    latencies: tuple[Latency, ...]


class Licences(Frozen):
    """Licences that may apply to a student, as stated to the worker; no legal advice."""

    student_weights: str | None
    """Of the pretrained weights that the student began from; None where it began from random ones."""
    teacher: str | None
    """Of the weights that it learned from, of several each behind its teacher's name; None for a method without a
    teacher."""
    dataset: str
    """What is known about the images' licence."""


class Manifest(Frozen):
    """Everything needed to use, verify and reproduce a student."""

    format_version: int = 1
    classes: tuple[str, ...]
    preprocessing: Preprocessing | None
    """None where `student` is."""
    spec: dict[str, Any]
    spec_fingerprint: str
    seed: int
    student: dict[str, Any] | None
    """architecture, constructor arguments, weights (the name of the pretrained ones that it began from; null: random),
    parameters, and multiply_adds of one image in convolutions, matrix products and attention (FLOPs are twice as many);
    None for `probe`, and above several students."""
    teacher: dict[str, Any] | None
    """name, architecture, SHA-256 of the weights, licence; None for a method that needs none, and where there are
    several."""
    teachers: tuple[dict[str, Any], ...] = ()
    """The same of each of several. `share`: how much of what the students learned it said by itself, from 0 to 1; the
    rest was said of all their features together."""
    licences: Licences | None = None
    """None above several students."""
    dataset: dict[str, Any]
    """digest, number of images per split, how the split came to be."""
    versions: dict[str, str]
    device: str
    metrics: dict[str, float]
    """Fractions by name; above several students, `<student>/` stands before the name of what is a student's own."""
    seconds: dict[str, float]
    """Wall time of each stage in the attempt that ended the job, of `decode` and `teacher` within `prepare`, and of
    `preview` within `distill`; above several students also of each one's part, as `distill/<student>`. What an earlier
    attempt or another job had done is read, not computed, so it takes next to nothing."""
    parity: dict[str, Parity]
    """By file name."""
    measured: dict[str, Measurement] = {}
    """By file name."""
    cpu: str = ""
    """The worker's processor, as its operating system names it: latencies on device `cpu` were measured on it."""
    choice: Choice | None = None
    """The file that fits the spec's `constraints`, or comes closest; None where there are no constraints."""
    withheld: dict[str, str] = {}
    """Reason by file name, for requested files that are not published."""
    files: tuple[ArtifactFile, ...]
    """All files except this one."""

    @property
    def every_teacher(self) -> tuple[dict[str, Any], ...]:
        """The one, or each of several; none for a method without."""
        return self.teachers or (() if self.teacher is None else (self.teacher,))
