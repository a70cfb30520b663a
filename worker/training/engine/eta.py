"""How long the stages will take on this machine: a few batches are timed, so that progress and ETA mean something."""

import time
from collections.abc import Callable

import torch

from app.domain.spec import TrainingSpec
from app.domain.states import Stage
from worker.training.models.networks import Student, Teacher, build_student

_BATCH = 16
_SECONDS_PER_DECODE = 0.004
_SECONDS_PER_REPROGRAM_STEP = 0.02
_SECONDS_PER_EXPORT = 8.0
_SECONDS_PER_MEASUREMENT = 5.0


def expected_seconds(
    spec: TrainingSpec,
    teacher: Teacher | None,
    *,
    device: torch.device,
    classes: int,
    decodes: int,
    teacher_views: int,
    live: bool,
    tune: Callable[[Student], Student] = lambda student: student,
) -> dict[Stage, float]:
    """Seconds per stage.

    Args:
        decodes: images decoded, counted once a size.
        teacher_views: views the teacher answers before stage 2.
        live: whether the teacher answers in stage 2 too.
        tune: makes a student compute as it will in stage 2; see worker.training.engine.autotune.
    """
    students = spec.every_student
    per_step = 0.0
    with torch.random.fork_rng():  # looking at the clock must not change the student
        for name in students:
            student = tune(build_student(name, classes, spec.image_size).to(device))
            per_step += _per_image(student, spec.image_size, learns=True)
    probe, proxy_space = int(teacher is not None), (1 + spec.reprogram.self_training) * spec.method_info.reprograms
    rounds = probe + proxy_space
    per_view = _per_image(teacher, teacher.image_size, learns=False) if teacher is not None else 0.0
    per_file = _SECONDS_PER_EXPORT + _SECONDS_PER_MEASUREMENT * spec.export.measure
    return {
        Stage.PREPARE: decodes * _SECONDS_PER_DECODE + teacher_views * per_view + 0.1,
        Stage.REPROGRAM: rounds * spec.reprogram.steps * _SECONDS_PER_REPROGRAM_STEP,
        Stage.DISTILL: spec.distill.image_steps * (per_step + (len(students) * per_view if live else 0.0)) + 0.1,
        Stage.EVALUATE: 1.0,
        Stage.EXPORT: len(students) * (_SECONDS_PER_EXPORT + per_file * len(spec.export.formats)),
    }


def _per_image(model: Teacher | Student, side: int, *, learns: bool) -> float:
    """The faster of two batches, in seconds an image; the first of them warms up."""
    images = torch.zeros(_BATCH, 3, side, side, device=model.mean.device)
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        answer = model(images)
        if learns:
            answer[1].sum().backward()
        if images.is_cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return min(seconds) / _BATCH
