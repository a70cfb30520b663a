"""What a worker can build. Workers publish it; the API serves and checks against it without importing torch."""

from pydantic import Field

from app.domain.base import Frozen


class TeacherCard(Frozen):
    """A frozen network with pretrained weights that a worker can load."""

    name: str
    """`architecture.tag`, as timm names pretrained weights."""
    architecture: str
    family: str
    """timm's module, for example `vision_transformer`."""
    parameters: int | None = None
    """Without the classifier; None until a worker has built it once."""
    input_size: int
    """Side in pixels it was pretrained at."""
    trained_on: str = ""
    licence: str = ""
    source: str = Field(default="timm")
    """`timm` (loaded from its hub) or `local` (a folder of weights on the worker)."""


class StudentCard(Frozen):
    """An architecture that a worker can train."""

    name: str
    family: str
    parameters: int
    """Without the classifier."""


class Catalog(Frozen):
    """One worker's whole offer."""

    teachers: tuple[TeacherCard, ...]
    students: tuple[StudentCard, ...]
