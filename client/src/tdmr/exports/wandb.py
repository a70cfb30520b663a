"""Weights & Biases: a run with configuration, curves and the model's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from tdmr.exports.record import Record, Scalar, is_model_file, lacking


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
            return str(Path(run.dir).parent) if run.offline else str(run.url)


def _rows(curves: Sequence[Scalar]) -> list[Mapping[str, float]]:
    """What belongs to the same step of the same stage, with that step."""
    return [
        {f"{stage}/step": step, **{scalar.name: scalar.value for scalar in part}}
        for (stage, step), part in groupby(curves, lambda one: (one.name.partition("/")[0], one.step))
    ]
