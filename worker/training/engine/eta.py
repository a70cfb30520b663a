"""How long each piece of a run will take on this machine: as earlier jobs have told, or as a few batches do now."""

import time
from collections.abc import Callable, Sequence

import torch

from app.domain.errors import NonFiniteLoss
from app.domain.spec import TrainingSpec
from app.domain.speeds import Speeds, Work
from app.domain.states import Stage
from app.domain.workload import SMALL_BATCH, Asked, Counts, Piece, architecture_of, images_a_step, pieces
from worker.training.engine.pace import Plan, Planned
from worker.training.engine.timing import step_seconds
from worker.training.models.networks import Student, Teacher, build_student

_BATCH = 16
_STEPS = 2
"""Of a student, besides the first."""
_TRAINED = 4.0
"""Of what answering costs: backward twice as much as forward, and the optimiser."""
_SURROUNDINGS = 1.1
"""Views and losses beside a student's own steps."""
_AT_FIRST = {
    Work.DECODE: 0.004,
    Work.REPROGRAM: 0.02,
    Work.EVALUATE: 0.004,
    Work.EXPORT: 8.0,
    Work.TIME: 5.0,
    Work.DESCRIBE: 2.0,
    Work.PUBLISH: 0.5,
}
"""Seconds a unit on the first job of a machine that has not measured itself, with two cores of 2021. They share out the
first job's time and are forgotten with its end; no estimate before a run is made of them."""


def plan_run(
    spec: TrainingSpec,
    teachers: Sequence[tuple[Teacher, int]],
    speeds: Speeds,
    counts: Counts,
    *,
    device: torch.device,
    classes: int,
    live: bool,
    tune: Callable[[Student], Student] = lambda student: student,
) -> Plan:
    """
    Args:
        teachers: each with the views that it must be asked about before stage 2.
        counts: as it is, what other jobs have left in the cache left out.
        live: whether teachers answer in stage 2.
        tune: makes a student and the optimiser compute as they will in stage 2; see worker.training.engine.autotune.
    """
    batch = timed_batch(spec, counts, device)
    networks = [teacher for teacher, _ in teachers]
    measured = _Measured(spec, networks, speeds, batch, device=device, classes=classes, tune=tune)
    asked = [Asked(architecture_of(teacher.name), teacher.image_size, views) for teacher, views in teachers]
    planned = []
    for piece in pieces(spec, counts, teachers=asked, live=live):
        if piece.work is Work.START:
            continue  # it is over
        seconds = measured.unit(piece) * piece.units if piece.units > 0 else 0.0
        planned.append(Planned(piece.stage, piece.part, _name(piece), seconds))
    return Plan(planned)


def name_of_file(work: Work, chosen: str) -> str:
    """Of the plan's piece that makes or times a file of this format."""
    return f"{work} {chosen}"


def _name(piece: Piece) -> str:
    return name_of_file(piece.work, piece.subject) if piece.stage is Stage.EXPORT and piece.subject else piece.work


class _Measured:
    """Seconds of units: known of this machine, else timed now, else shared out."""

    def __init__(
        self,
        spec: TrainingSpec,
        teachers: Sequence[Teacher],
        speeds: Speeds,
        batch: int,
        *,
        device: torch.device,
        classes: int,
        tune: Callable[[Student], Student],
    ) -> None:
        self._spec, self._speeds, self._batch = spec, speeds, batch
        self._teachers = {architecture_of(teacher.name): teacher for teacher in teachers}
        self._device, self._classes, self._tune = device, classes, tune
        self._timed: dict[tuple[str, bool], float] = {}

    def unit(self, piece: Piece) -> float:
        known = self._speeds.exactly(piece.work, piece.subject, piece.size, piece.how)
        if known is None and not piece.size:
            return _AT_FIRST[piece.work]
        if known is None:
            return self._time(piece)
        return known.expected

    def _time(self, piece: Piece) -> float:
        learns = piece.work is Work.TRAIN
        key = piece.subject, learns
        if key not in self._timed:
            teacher = self._teachers.get(piece.subject)
            if teacher is not None and not learns:
                self._timed[key] = _per_image(teacher, teacher.image_size)
            else:
                self._time_student(piece.subject)
        return self._timed[key]

    def _time_student(self, architecture: str) -> None:
        size = self._spec.image_size
        with torch.random.fork_rng():  # looking at the clock must not change the student
            student = self._tune(build_student(architecture, self._classes, size).to(self._device))
            forward = self._timed[architecture, False] = _per_image(student.eval(), size)
            try:
                images = student.example(self._batch)
                own = min(step_seconds(student.train(), images, self._spec.distill.optimiser, _STEPS)) / self._batch
            except NonFiniteLoss:  # of made-up images; those of the job may well do
                own = _TRAINED * forward
            self._timed[architecture, True] = own * _SURROUNDINGS


def timed_batch(spec: TrainingSpec, counts: Counts, device: torch.device) -> int:
    """Images of a step that is timed: those of the job's own. On a CPU, where an image more costs as much as the one
    before, a few tell what many take, and looking at the clock must not take minutes."""
    images = images_a_step(spec, counts.training)
    return min(images, SMALL_BATCH) if device.type == "cpu" else images


@torch.no_grad()
def _per_image(model: Teacher | Student, side: int) -> float:
    """The faster of two batches, in seconds an image; the first of them warms up."""
    images = torch.zeros(_BATCH, 3, side, side, device=model.mean.device)
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        model(images)
        if images.is_cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return min(seconds) / _BATCH
