"""Weights from timm's hub, fetched while the network is still there."""

from pathlib import Path

from huggingface_hub import constants

from app import isolation
from app.domain.spec import TrainingSpec
from worker.training.models.loading import RANDOM_TAG, load
from worker.training.models.weights import list_local


def fetch_weights(spec: TrainingSpec, models_dir: Path | None) -> None:
    """See that all pretrained weights which the run will load are on this machine. Those are built once for it and
    dropped: which files timm wants of a network, only timm knows.

    Raises:
        WeightsUnavailable, ModelNotBuildable: as `load`.
    """
    wanted: list[str] = []
    if spec.method_info.needs_teacher and spec.teacher is not None:
        wanted.append(spec.teacher)
    if spec.starts_pretrained:
        wanted += spec.every_student
    local = list_local(models_dir)
    for name in wanted:
        if name not in local and name.partition(".")[2] != RANDOM_TAG:
            load(name, None, models_dir)


def leave_network() -> None:
    """For good, as far as the machine allows it; the hub's client then takes what it has at once, instead of asking
    five times."""
    constants.HF_HUB_OFFLINE = isolation.close_network() or constants.HF_HUB_OFFLINE
