"""TensorBoard: a folder with an event file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from tdmr.exports.record import Record, lacking

_SUFFIX = ".tdmr"


@dataclass(frozen=True)
class TensorBoard:
    """Curves and results as scalars, the spec as text, in `<folder>/<job id>`; `tensorboard --logdir <folder>` shows
    them. Another export of the job takes the place of the one before."""

    folder: str | os.PathLike[str] = "runs"

    def check(self) -> None:
        try:
            import tensorboardX  # noqa: F401
        except ImportError:
            raise lacking("tensorboardX", "tensorboard") from None

    def wants(self, name: str) -> bool:
        return False

    def write(self, record: Record) -> str:
        from tensorboardX import SummaryWriter

        folder = Path(self.folder) / record.job_id
        for earlier in folder.glob(f"events.out.tfevents.*{_SUFFIX}"):
            earlier.unlink()
        # the service keeps no time for each point, so all have the job's: TensorBoard draws them by their step
        at = record.started_at.timestamp()
        with SummaryWriter(str(folder), filename_suffix=_SUFFIX) as writer:
            for scalar in record.curves:
                writer.add_scalar(scalar.name, scalar.value, scalar.step, walltime=at)
            for name, value in record.results.items():
                writer.add_scalar(f"results/{name}", value, 0, walltime=at)
            spec = json.dumps(record.spec, indent=2, ensure_ascii=False)
            writer.add_text("spec", "\n".join(f"    {line}" for line in spec.splitlines()), 0, walltime=at)
        return str(folder)
