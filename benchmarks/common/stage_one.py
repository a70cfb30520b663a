"""Stage 1 of a job by itself, in this process, so that a benchmark can look at what it makes."""

import argparse
import io
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.domain.runtime import RuntimeConfig
from app.domain.spec import TrainingSpec
from app.reading.layout import load_index
from benchmarks.common import setting
from benchmarks.common.data import Subset
from worker.training.data.pools import Images
from worker.training.engine.reporter import Reporter
from worker.training.prepare import prepare
from worker.training.run import Run
from worker.training.teacher.features import TeacherTaps


@contextmanager
def prepared(
    arguments: argparse.Namespace, subset: Subset, spec: Mapping[str, Any], stop: threading.Event
) -> Iterator[tuple[Run, Images, list[TeacherTaps]]]:
    """What a job has before stage 1: its images, and each teacher's answers. What it writes is deleted at the end."""
    where = setting.machine(arguments)
    runtime = RuntimeConfig(device="cpu", hub=False, models_dir=where.weights, cache_dir=where.cache)
    folder = subset.folder(arguments.cache / "data")
    with tempfile.TemporaryDirectory() as out:
        run = Run(TrainingSpec.model_validate(spec), folder, Path(out), runtime, Reporter(io.StringIO()), stop.is_set)
        yield run, *prepare(run, load_index(folder))
