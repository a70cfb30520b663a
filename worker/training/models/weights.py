"""Teachers that lie in a folder: safetensors with a card each, so that a worker needs no hub and no network.

A folder holds `NAME.json` beside `NAME.safetensors`, or one `weights.json` with all cards by name. Two folders are
read: `worker/models/`, which comes with the project, and the one that the settings name.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.domain.names import ModelName

BUILT_IN = Path(__file__).resolve().parents[2] / "models"
ALL_CARDS = "weights.json"

_NAME: TypeAdapter[str] = TypeAdapter(ModelName)
log = logging.getLogger(__name__)


class WeightsCard(BaseModel):  # type: ignore[no-redef]  # the plugin's own `**kwargs` meets our field of that name
    """What must be known of a file of weights to use it as a teacher. Further keys are for people and are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    file: str = Field(min_length=1, pattern=r"^[^/\\]+$")
    """Name of the safetensors file beside the card."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the file; checked when the weights are loaded."""
    architecture: str = Field(pattern=r"^[A-Za-z0-9_]+$")
    """timm's name of the network."""
    kwargs: dict[str, Any] = {}
    """Arguments of `timm.create_model` that the weights need."""
    mean: tuple[float, float, float]
    """Subtracted from RGB in 0..1."""
    std: tuple[float, float, float]
    """Divides after that."""
    input_size: tuple[int, int, int]
    """Channels, height, width in pixels at which it was pretrained."""
    interpolation: str = "bicubic"
    """How images are resized for it."""
    trained_on: str = ""
    classifier: bool = False
    """Whether the file holds a classifier too; it is not used."""
    source: str = ""
    licence: str = ""


@dataclass(frozen=True)
class LocalWeights:
    """A teacher found in a folder."""

    name: str
    path: Path
    card: WeightsCard


def list_local(models_dir: Path | None = None) -> dict[str, LocalWeights]:
    """Every usable teacher by name; `models_dir` wins over the built-in folder.

    A card that cannot be used is logged and left out: one bad file must not take the others away.
    """
    found: dict[str, LocalWeights] = {}
    for folder in (BUILT_IN, models_dir):
        if folder is not None:
            found.update({weights.name: weights for weights in _read_folder(folder)})
    return found


def _read_folder(folder: Path) -> Iterator[LocalWeights]:
    if not folder.is_dir():
        log.warning("There is no folder of models at %s", folder)
        return
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_bytes())
            cards = content if path.name == ALL_CARDS else {path.stem: content}
            items = list(cards.items())
        except (OSError, ValueError, AttributeError) as error:
            log.warning("Skipped %s: it cannot be read as JSON cards (%s)", path.name, error)
            continue
        for name, card in items:
            try:
                yield _read_card(folder, name, card)
            except ValueError as error:
                log.warning("Skipped the teacher %r in %s: %s", name, path.name, _words(error))


def _read_card(folder: Path, name: str, content: object) -> LocalWeights:
    card = WeightsCard.model_validate(content)
    path = folder / card.file
    if path.suffix != ".safetensors":
        raise ValueError(f"{card.file} is not a .safetensors file")
    if not path.is_file():
        raise ValueError(f"{card.file} is not beside its card")
    return LocalWeights(_NAME.validate_python(name), path, card)


def _words(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'name'}: {e['msg']}" for e in error.errors())
    return str(error)
