"""Which weights each student begins from, where the job leaves that to the worker."""

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path

import timm

from app.domain.errors import ModelNotBuildable, WeightsUnavailable
from app.domain.files import replaced_atomically
from app.domain.runtime import RuntimeConfig
from app.domain.spec import TrainingSpec
from worker.training.models.hub import asked_once
from worker.training.models.loading import RANDOM_TAG, load
from worker.training.models.weights import LocalWeights, list_local

FILE_NAME = "initial_weights.json"
_NOT_DOWNLOADED = (
    "its pretrained ones could not be downloaded. Connect the worker to the network once, put weights into "
    "TDMR_MODELS_DIR, or set 'pretrained' to false if you want random ones."
)

log = logging.getLogger(__name__)


def choose_initial_weights(
    spec: TrainingSpec, runtime: RuntimeConfig, out_dir: Path, warn: Callable[[str, str], None]
) -> dict[str, str | None]:
    """By student the name of the pretrained weights that it begins from; None: random ones.

    What was chosen is kept in `out_dir`, so that a resumed run goes on as it began. Weights of the hub are fetched.

    Args:
        warn: told a code and a message of weights that `auto` did without.

    Raises:
        WeightsUnavailable, ModelNotBuildable: as `load`, for weights that the job insists on.
    """
    path = out_dir / FILE_NAME
    chosen = _read(path) if spec.pretrained == "auto" else {}
    for name in spec.every_student:
        if name not in chosen:
            chosen[name] = _choose(name, spec, runtime, warn)
    if spec.pretrained == "auto" and chosen:
        out_dir.mkdir(parents=True, exist_ok=True)
        with replaced_atomically(path) as temporary:
            temporary.write_text(json.dumps(chosen))
    return chosen


def _choose(name: str, spec: TrainingSpec, runtime: RuntimeConfig, warn: Callable[[str, str], None]) -> str | None:
    tag = name.partition(".")[2]
    if not spec.may_start_pretrained or (tag == RANDOM_TAG and not spec.starts_pretrained):
        return None
    local = list_local(runtime.models_dir)
    if tag or spec.starts_pretrained:
        insisted = _wanted(name, local, hub=True) or name
        if insisted not in local and tag != RANDOM_TAG:
            load(insisted, None, runtime.models_dir)  # says what is wrong with it
        return insisted
    wanted = _wanted(name, local, hub=runtime.hub)
    if wanted is None:
        at_hand = _at_hand(name, local)
        if len(at_hand) > 1:
            warn("random_weights", f"{name} begins from random weights: name one of {', '.join(at_hand)} for others.")
        return None
    try:
        with nullcontext() if wanted in local else asked_once():
            load(wanted, spec.image_size, runtime.models_dir)
    except ModelNotBuildable:
        warn("random_weights", f"{name} begins from random weights: '{wanted}' cannot be used at {spec.image_size} px.")
        return None
    except WeightsUnavailable as error:
        why = error.detail if wanted in local else _NOT_DOWNLOADED
        warn("random_weights", f"{name} begins from random weights: {why}")
        return None
    return wanted


def _wanted(name: str, local: Mapping[str, LocalWeights], *, hub: bool) -> str | None:
    """The weights that a student's name means. An architecture alone means timm's default ones or, if there are local
    ones of a single name, these."""
    of_hub = name if hub and name.partition(".")[2] != RANDOM_TAG and timm.is_model_pretrained(name) else None
    if name in local or "." in name:
        return name if name in local else of_hub
    at_hand = _at_hand(name, local)
    default = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if default is not None and f"{name}.{default.tag}" in at_hand:
        return f"{name}.{default.tag}"
    return at_hand[0] if len(at_hand) == 1 else of_hub


def _at_hand(architecture: str, local: Mapping[str, LocalWeights]) -> list[str]:
    return sorted(weights.name for weights in local.values() if weights.card.architecture == architecture)


def _read(path: Path) -> dict[str, str | None]:
    try:
        return dict(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return {}
    except ValueError:
        log.warning("%s is damaged; the weights are looked for again", path)
        return {}
