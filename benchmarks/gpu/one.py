"""One process of the benchmark: a whole job, or the speed of its parts. Its last line of output is what it found."""

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from timm.optim import create_optimizer_v2

from app.domain.progress import EventLine, Line
from app.domain.runtime import RuntimeConfig
from app.domain.spec import TrainingSpec
from app.reading.layout import load_index
from worker.training.engine.reporter import Reporter
from worker.training.methods.batches import BatchSource
from worker.training.methods.registry import build_task
from worker.training.methods.targets import TargetSource
from worker.training.models.networks import build_student
from worker.training.pipeline import train
from worker.training.prepare import prepare
from worker.training.run import Run
from worker.training.teacher.reprogramming import reprogram

SECONDS = 3.0
"""Each rate is taken over so long, after a warm-up of half of it."""
_MIB = 2**20


class Notes(Reporter):
    """Keeps the events instead of printing them."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.events: list[EventLine] = []

    def emit(self, line: Line) -> None:
        if isinstance(line, EventLine):
            self.events.append(line)


def main(what: str, folder: Path, data: Path, sizes: Sequence[int]) -> None:
    notes = Notes()
    spec = TrainingSpec.model_validate_json((folder / "spec.json").read_bytes())
    runtime = RuntimeConfig.model_validate_json((folder / "runtime.json").read_bytes())
    if what == "job":
        found = job(Run(spec, data, folder / "out", runtime, notes, lambda: False), notes)
    else:
        found = {"batches": [rates(spec, data, folder / str(size), runtime, size) for size in sizes]}
    print(json.dumps(found))


def job(run: Run, notes: Notes) -> dict[str, Any]:
    """All of it."""
    began = time.perf_counter()
    manifest = train(run)
    return {
        "wall_seconds": time.perf_counter() - began,
        "seconds": notes.seconds,
        "metrics": manifest.metrics,
        "peak_mib": peak_mib(run.device),
        "images_per_second": run.spec.distill.image_steps / notes.seconds["distill"],
        "settings": [event.message for event in notes.events if event.code == "device_settings"],
        "parity": [
            {"name": name, "agreement": parity.top1_agreement, "difference": parity.max_logit_difference}
            for name, parity in manifest.parity.items()
        ],
    }


def rates(spec: TrainingSpec, data: Path, out: Path, runtime: RuntimeConfig, size: int) -> dict[str, Any]:
    """Of the loader with the teacher's live answers, and of the student that always gets the same batch."""
    distill = spec.distill.model_copy(update={"batch_size": size})
    run = Run(spec.model_copy(update={"distill": distill}), data, out, runtime, Notes(), lambda: False)
    out.mkdir()
    images, taps = prepare(run, load_index(data))
    teacher = reprogram(run, images, taps)
    source = BatchSource(run, images, TargetSource(run, teacher))
    assert run.spec.student is not None
    student = run.tune_student(
        build_student(run.spec.student, len(images.index.classes), spec.image_size).to(run.device)
    )
    task = build_task(
        run.spec,
        student,
        proxy_space=teacher.blend,
        probe=teacher.probe,
        tap_widths=teacher.taps.widths,
        class_weights_K=None,
        handover=None,
    ).to(run.device)
    optimiser = create_optimizer_v2(task, opt=distill.optimiser, lr=1e-4)
    batch = source.at(0)

    def learn(_: int) -> None:
        optimiser.zero_grad(set_to_none=True)
        task(batch, 0.5).loss.backward()
        optimiser.step()

    if run.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    learning = source.batch_size / seconds_of(learn, run.device)
    peak = peak_mib(run.device)
    loading = source.batch_size / seconds_of(source.at, run.device)
    return {"batch": source.batch_size, "student": learning, "loader": loading, "peak_mib": peak}


def seconds_of(once: Callable[[int], object], device: torch.device) -> float:
    """The median of one call."""
    seconds: list[float] = []
    began, step = time.perf_counter(), 0
    while (now := time.perf_counter()) - began < 1.5 * SECONDS:
        once(step)
        step += 1
        if device.type == "cuda":
            torch.cuda.synchronize()
        if now - began > 0.5 * SECONDS:
            seconds.append(time.perf_counter() - now)
    return statistics.median(seconds) if seconds else time.perf_counter() - began


def peak_mib(device: torch.device) -> float:
    """Of the GPU's memory, or of the process's own where there is none."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved() / _MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _MIB


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), [int(size) for size in sys.argv[4:]])
