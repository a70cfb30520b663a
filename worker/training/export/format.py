"""What a format is, and how images become the student's input.

Without torch: the process that runs an exported file imports this and the file's own format, and nothing else.

N images, H W pixels, S the student's side, K classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from app.domain.config import ExportConfig
from app.domain.manifest import Preprocessing
from worker.training.export.tolerance import LogitTolerance, Tolerance

if TYPE_CHECKING:
    from worker.training.export.source import Source

INPUT_NAME = "images"
"""float32 [N, 3, S, S], normalised."""
OUTPUT_NAME = "logits"
"""float32 [N, K]."""
PICTURE_NAME = "image"
"""uint8 [H, W, 3], red first, upright, of any size: the input of a format that takes pictures."""
PROBABILITIES_NAME = "probabilities"
"""float32 [K]; the logits of such a format are [K] too."""

BATCH = 32
"""Images a call of a parity check."""

READ = """\
picture = ImageOps.exif_transpose(Image.open("photo.jpg"))
if picture.mode.startswith("I"):  # 16-bit grey
    picture = Image.fromarray(np.rint(np.asarray(picture) / 257).astype(np.uint8))
layer = picture.convert("RGBA")  # what is transparent is laid on white
image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")"""
"""Python that reads `photo.jpg` as `app.imaging` does, whose rules for 16 bits and transparency are not Pillow's."""

_PREPARE = """\
{read}
size = [{resize} * side // min(image.size) for side in image.size]
image = image.resize(size, Image.Resampling.{interpolation})
left, top = (round((side - {crop}) / 2) for side in image.size)
pixels = np.asarray(image.crop((left, top, left + {crop}, top + {crop})), np.float32) / 255
images = (pixels - np.float32({mean})) / np.float32({std})
images = np.ascontiguousarray(images.transpose(2, 0, 1)[None])"""


@dataclass(frozen=True)
class Loaded:
    """A file in its runtime."""

    prepare: Callable[[npt.NDArray[Any]], Callable[[], Any]]
    """Takes normalised images [N, 3, S, S], or one picture [H, W, 3], and puts them on the device. Returns the call
    that runs the network on them and returns once it has finished."""
    logits: Callable[[Any], npt.NDArray[np.float32]]
    """From the result of such a call: [N, K], or [K] for a picture."""
    metadata: Mapping[str, str | bytes]
    device: str = "cpu"
    """`cpu`, or the name of the GPU."""


class Format(ABC):
    """One way to write, run and judge a student. A module has one as its `FORMAT`."""

    name: ClassVar[str]
    """As the spec calls it."""
    file: ClassVar[str]
    label: ClassVar[str]
    """As figures call it: `int8 ONNX`."""
    media_type: ClassVar[str] = "application/octet-stream"
    """No model format has a registered one. TorchScript and .pt2 are zip archives, but some browsers unpack what is
    called so."""
    hub_tag: ClassVar[str | None] = None
    """What Hugging Face's hub calls it."""
    takes_pictures: ClassVar[bool] = False
    """One decoded picture of any size instead of a batch of prepared squares."""
    timed_on_gpu: ClassVar[bool] = False
    """Whether its runtime can use the trainer's GPU; every file is timed on the CPU."""
    optional: ClassVar[bool] = False
    """A file that cannot be written or is not good enough is withheld, and the job succeeds without it."""
    cannot: ClassVar[str]
    """Why a student cannot be written: a clause for the error message."""
    usage_code: ClassVar[str]
    """Python that classifies `photo.jpg`, with `{file}`, and either `{read}` for the lines that make `image` of it,
    upright RGB, or `{prepare}` for those that make `images` of it."""

    @abstractmethod
    def write(self, source: "Source", path: Path) -> str:
        """Write the file. Returns how it was done, in a few words.

        Raises:
            Exception: whatever an exporter raises for a network that it cannot handle.
        """

    @abstractmethod
    def load(self, path: Path, *, threads: int, device: str = "cpu") -> Loaded:
        """Load the file in its own runtime. `device` is torch's name."""

    def tolerance(self, config: ExportConfig) -> Tolerance:
        """How far it may be from the student."""
        return LogitTolerance(config.max_logit_difference)

    def usage(self, how: Preprocessing) -> str:
        """Python that needs nothing of this project."""
        prepare = _PREPARE.format(
            read=READ,
            resize=how.resize_short_side,
            crop=how.center_crop,
            interpolation=how.interpolation.upper(),
            mean=[round(value, 6) for value in how.mean],
            std=[round(value, 6) for value in how.std],
        )
        return self.usage_code.format(read=READ, prepare=prepare, file=self.file).strip()


def normalise(
    images_NHWC: npt.NDArray[np.uint8], mean: Sequence[float], std: Sequence[float], scale: float = 1 / 255
) -> npt.NDArray[np.float32]:
    """`(RGB · scale − mean) / std`, rounded to float32 at each step, contiguous [N, 3, H, W]."""
    channels = images_NHWC.astype(np.float32)
    channels *= np.float32(scale)
    channels -= np.asarray(mean, np.float32)
    channels /= np.asarray(std, np.float32)
    return np.ascontiguousarray(channels.transpose(0, 3, 1, 2))


def uneven_batches(images: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """All images once: one alone, then by 32, then the rest, so that a baked-in batch size cannot stay unnoticed."""
    yield images[:1]
    for start in range(1, len(images), BATCH):
        yield images[start : start + BATCH]
