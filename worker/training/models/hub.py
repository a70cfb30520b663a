"""Weights from timm's hub, fetched while the network is still there."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import constants, get_session

from app import isolation
from app.domain.spec import TrainingSpec
from worker.training.models.loading import RANDOM_TAG, load
from worker.training.models.weights import list_local

_ANSWER_SECONDS = 5.0

log = logging.getLogger(__name__)


def fetch_teachers(spec: TrainingSpec, models_dir: Path | None) -> None:
    """See that the teachers' weights are on this machine. Each is built once for that and dropped: which files timm
    wants of a network, only timm knows.

    Raises:
        WeightsUnavailable, ModelNotBuildable: as `load`.
    """
    for name in spec.every_teacher if spec.method_info.needs_teacher else ():
        if name not in list_local(models_dir) and name.partition(".")[2] != RANDOM_TAG:
            load(name, None, models_dir)


@contextmanager
def asked_once() -> Iterator[None]:
    """Whoever wants weights that it can do without waits no minute for a hub that does not answer: its client then
    takes what was downloaded before, or fails at once."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _answers()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _answers() -> bool:
    try:
        get_session().head(constants.ENDPOINT, timeout=_ANSWER_SECONDS)
    except Exception as error:  # the client's own zoo: no name, no route, a proxy that refuses
        log.info("The hub does not answer: %s", error)
        return False
    return True


def leave_network() -> None:
    """For good, as far as the machine allows it; the hub's client then takes what it has at once, instead of asking
    five times."""
    constants.HF_HUB_OFFLINE = isolation.close_network() or constants.HF_HUB_OFFLINE
