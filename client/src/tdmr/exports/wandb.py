"""Weights & Biases: a run with configuration, curves and the model's files."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from tdmr.errors import TdmrError
from tdmr.exports.record import Record, Scalar, is_model_file, lacking

_WRITTEN_SECONDS = 30
_STILL_SECONDS = 0.1
_HEAD_BYTES = 7
"""What a log has before its first record."""


@dataclass(frozen=True)
class WandB:
    """One run for a job: its id is the job's. A later export of the job adds what is new.

    Args:
        project: as Weights & Biases knows it.
        entity: a user or team. Else that of the key.
        mode: `offline` writes a folder `wandb/` for `wandb sync`. Else WANDB_MODE, and `online`.
        files: also log the model's files: weights, programs, the card, its figures.
    """

    project: str = "tdmr"
    entity: str | None = None
    mode: str | None = None
    files: bool = True

    def check(self) -> None:
        try:
            import wandb  # noqa: F401
        except ImportError:
            raise lacking("wandb", "wandb") from None

    def wants(self, name: str) -> bool:
        return self.files and is_model_file(name)

    def write(self, record: Record) -> str:
        import wandb

        mode: Any = self.mode
        with wandb.init(
            project=self.project,
            entity=self.entity,
            id=record.job_id,
            name=record.name,
            config={**record.spec, **record.tags()},
            mode=mode,
            resume="allow",
            # not into a run that the caller has going, which would be ended here too
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off", disable_git=True, save_code=False),
        ) as run:
            for name in {scalar.name.partition("/")[0] for scalar in record.curves}:
                run.define_metric(f"{name}/*", step_metric=f"{name}/step")
            for at, values in enumerate(_rows(record.curves)):
                # a step that the run has already is left out by Weights & Biases itself
                run.log(dict(values), step=at)
            run.summary.update(dict(record.results))
            if record.folder is not None:
                model = wandb.Artifact(record.job_id, "model", metadata=dict(record.results))
                for path in record.files():
                    model.add_file(str(path), path.relative_to(record.folder).as_posix())
                run.log_artifact(model)
        if not run.offline:
            return str(run.url)
        place = Path(run.dir).parent
        _wait_until_written(place)
        return str(place)


def _wait_until_written(place: Path) -> None:
    """Weights & Biases' own process writes most of an offline run shortly after the run has ended.

    Raises:
        TdmrError: nothing was written within half a minute.
    """
    until, before = time.monotonic() + _WRITTEN_SECONDS, -1
    while (size := sum(log.stat().st_size for log in place.glob("*.wandb"))) <= _HEAD_BYTES or size != before:
        if time.monotonic() > until:
            raise TdmrError(f"Weights & Biases has not finished writing {place}. Export the job again.")
        before = size
        time.sleep(_STILL_SECONDS)


def _rows(curves: Sequence[Scalar]) -> list[Mapping[str, float]]:
    """What belongs to the same step of the same stage, with that step."""
    return [
        {f"{stage}/step": step, **{scalar.name: scalar.value for scalar in part}}
        for (stage, step), part in groupby(curves, lambda one: (one.name.partition("/")[0], one.step))
    ]
