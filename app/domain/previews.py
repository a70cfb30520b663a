"""The student of the moment, usable while its job still trains."""

from pathlib import PurePosixPath
from typing import Literal

from pydantic import ConfigDict, Field

from app.domain.base import Frozen
from app.domain.manifest import ArtifactFile

PREVIEW_WEIGHTS, PREVIEW_ONNX = "student.preview.safetensors", "student.preview.onnx"
PREVIEW_NAMES = frozenset({PREVIEW_WEIGHTS, PREVIEW_ONNX})
PREVIEW_FOLDER = "preview"
"""Below the training command's output folder; not part of a checkpoint."""
PREVIEW_NOTE = "preview"
"""The entry of a file's metadata that holds its `PreviewMark` as JSON."""
_WANTED = ".preview-"


class PreviewMark(Frozen):
    """What a preview is: never the finished student."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    student: str
    """As the spec calls it."""
    step: int = Field(ge=0)
    """Steps that it had trained."""
    steps: int = Field(ge=1)
    """Steps that it will have trained in the end."""
    val_accuracy: float | None = None
    """On the validation images, at this step; null if the data set has none."""
    teacher_agreement: float | None = None
    """Without validation images: the part of images on which it answers as its teacher does."""


class PreviewLine(Frozen):
    """A line of the training command: a preview was written, or could not be."""

    type: Literal["preview"] = "preview"
    mark: PreviewMark
    name: str
    """`student.preview.safetensors` or `student.preview.onnx`."""
    file: ArtifactFile | None
    """Below the output folder; None where the preview cannot be written, which an event explains. The file before it
    stays for as long as this one does."""


def wanted_name(student: str) -> str:
    """The file in the output folder by which the training command is asked for the ONNX file of a student."""
    return _WANTED + student


def wanted_student(name: str) -> str | None:
    """Of such a file's name."""
    return name.removeprefix(_WANTED) if name.startswith(_WANTED) else None


def is_preview(name: str) -> bool:
    """Whether a file of a job, `student.preview.onnx` or `<student>/student.preview.onnx`, is one."""
    return PurePosixPath(name).name in PREVIEW_NAMES
