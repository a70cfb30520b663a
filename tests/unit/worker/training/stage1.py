"""The first two stages of a run, for tests that need no student."""

import io
from pathlib import Path

from app.domain.progress import LINE, EventLine, MetricLine
from app.domain.runtime import RuntimeConfig
from app.domain.spec import TrainingSpec
from app.reading.layout import index_folder
from worker.training.data.pools import Images
from worker.training.engine.reporter import Reporter
from worker.training.methods.batches import BatchSource
from worker.training.methods.targets import TargetSource
from worker.training.methods.task import DistillBatch
from worker.training.models.networks import state_digest
from worker.training.prepare import prepare
from worker.training.run import Run
from worker.training.teacher.reprogramming import reprogram
from worker.training.teacher.task_teacher import TaskTeacher


class Stage1:
    """What the first two stages of a run make and print."""

    def __init__(self, spec: TrainingSpec, data: Path, out_dir: Path, **runtime: Path) -> None:
        self.printed = io.StringIO()
        out_dir.mkdir(parents=True, exist_ok=True)
        config = RuntimeConfig(device="cpu", **runtime)
        self.run = Run(spec, data, out_dir, config, Reporter(self.printed), lambda: False)
        images, taps = prepare(self.run, index_folder(data))
        self.images: Images = images
        self.task_teacher: TaskTeacher = reprogram(self.run, images, taps)
        self.digest = state_digest(self.task_teacher.model)

    @property
    def events(self) -> list[str]:
        lines = map(LINE.validate_json, self.printed.getvalue().splitlines())
        return [line.code for line in lines if isinstance(line, EventLine)]

    @property
    def last_metrics(self) -> dict[str, float]:
        lines = map(LINE.validate_json, self.printed.getvalue().splitlines())
        return [line.values for line in lines if isinstance(line, MetricLine)][-1]

    def batch(self, step: int = 0) -> DistillBatch:
        return BatchSource(self.run, self.images, TargetSource(self.run, self.task_teacher)).at(step)
