"""What a worker can build. Workers publish it; the API serves and checks against it without importing torch."""

from pydantic import Field

from app.domain.base import Frozen
from app.domain.methods import MethodInfo


class TeacherCard(Frozen):
    """A frozen network with pretrained weights that a worker can load."""

    name: str = Field(examples=["vit_small_patch14_dinov2.lvd142m"])
    """`architecture.tag`, as timm names pretrained weights."""
    architecture: str = Field(examples=["vit_small_patch14_dinov2"])
    """The part of the name before the dot."""
    family: str = Field(examples=["vision_transformer"])
    """timm's module, for example `vision_transformer`."""
    parameters: int | None = Field(default=None, examples=[21_550_080])
    """Without the classifier; None until a worker has built it once."""
    input_size: int = Field(examples=[518])
    """Side in pixels it was pretrained at."""
    trained_on: str = Field(default="", examples=["lvd142m"])
    """The data it was pretrained on; empty where that is unknown."""
    licence: str = Field(default="", examples=["apache-2.0"])
    """Of the weights, as their publisher states it; empty where that is unknown."""
    source: str = Field(default="timm")
    """`timm` (loaded from its hub) or `local` (a folder of weights on the worker)."""
    refused: str | None = None
    """Why it cannot teach, as a sweep over all architectures found; a job that names it is refused."""


class StudentCard(Frozen):
    """An architecture that a worker can train, and what a sweep over all architectures found that it cannot do.

    A job that asks for what is refused here is refused when it is created. What no sweep has tried is not refused.
    """

    name: str = Field(examples=["mobilenetv3_small_050"])
    """timm's name of the architecture."""
    family: str = Field(examples=["mobilenetv3"])
    """timm's module, for example `mobilenetv3`."""
    parameters: int = Field(examples=[569_016])
    """Without the classifier."""
    multiply_adds: int | None = None
    """Of one image of `input_size`; None where nobody has counted them."""
    input_size: int | None = None
    """Side in pixels that its family's weights are made for."""
    refused: str | None = None
    """Why it cannot be trained."""
    refused_formats: dict[str, str] = {}
    """Export formats in which it cannot be written, each with the reason."""
    refused_sizes: tuple[int, ...] = ()
    """Sides in pixels that it does not take."""
    takes_size: int | None = None
    """A side in pixels that it does take; given where some are refused."""


class Catalog(Frozen):
    """One worker's whole offer."""

    teachers: tuple[TeacherCard, ...]
    students: tuple[StudentCard, ...]
    methods: tuple[MethodInfo, ...] = ()
    """None from a worker of a release before methods were announced."""
