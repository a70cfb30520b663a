"""What a job will take, before it runs: seconds, memory, bytes; and what of that is too much.

It follows from what workers have measured on their kind of machine. Where nobody has measured, nothing is said.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import reduce
from typing import Any

from sqlalchemy.orm import Session

from app.db.models import Dataset, Worker
from app.db.queries import catalogue
from app.db.queries import jobs as job_queries
from app.domain.access import Quotas
from app.domain.catalog import StudentCard, TeacherCard
from app.domain.errors import JobTooLong
from app.domain.spec import JobSpec
from app.domain.speeds import ACCELERATED, NOTHING, Range, Speeds, Work
from app.domain.states import Stage
from app.domain.workload import (
    Asked,
    Counts,
    architecture_of,
    pieces,
    stage_costs,
    views_of_teacher,
)
from app.services import catalog, needs, speeds
from app.services.workers import FORGOTTEN

LONG_SECONDS = 24 * 3600.0
"""A job that takes longer is accepted with a warning."""
_EARLIER = 20
"""Jobs on the same data set that are asked what they have left in the cache."""


@dataclass(frozen=True)
class Limit:
    """A setting that the job would run into."""

    setting: str
    detail: str


@dataclass(frozen=True)
class Estimate:
    """Each number that is not known is None, and `unknown` says why, by the number's name."""

    stages: Mapping[Stage, Range | None]
    seconds: Range | None
    at_least: Range
    """Of the stages that are known."""
    memory_bytes: Range | None
    device_memory_bytes: Range | None
    cache_bytes: int | None
    storage_bytes: int
    cached: Sequence[str]
    machines: Sequence[str]
    measured: bool
    """Whether every student was measured on every kind of machine, and none interpolated."""
    unknown: dict[str, str] = field(default_factory=dict)
    limits: Sequence[Limit] = ()
    warnings: Sequence[str] = ()
    estimated_start: datetime | None = None


@dataclass(frozen=True)
class Bounds:
    """The settings that a job may run into, as this process has them."""

    job_hours: float | None = None
    child_memory_gb: float | None = None
    cache_gb: float | None = None


def estimate(session: Session, spec: JobSpec, dataset: Dataset, bounds: Bounds | None = None) -> Estimate:
    """Of a job that could be created; the caller has checked that."""
    offer = catalog.offer(session)
    teachers = [offer.teachers[name] for name in spec.every_teacher if spec.method_info.needs_teacher]
    trainers = _trainers(session)
    machines = sorted({worker.machine for worker in trainers if worker.machine})
    cached = _cached(session, spec)
    one_host = len({worker.hostname for worker in trainers}) == 1
    students = [offer.students[architecture_of(name)] for name in spec.every_student]
    each = [
        _on(
            spec,
            dataset,
            teachers,
            students,
            speeds.of_machine(session, machine, offer),
            machine,
            cached if one_host else {},
        )
        for machine in machines
    ]
    unknown: dict[str, str] = {}
    stages = {}
    for stage in each[0].stages if each else ():
        stages[stage] = _together(one.stages[stage] for one in each)
        if stages[stage] is None:
            unknown[f"stages.{stage}"] = next(one.unknown[stage] for one in each if stage in one.unknown)
    known_stages = [found for found in stages.values() if found is not None]
    at_least = reduce(Range.plus, known_stages, NOTHING)
    seconds = at_least if stages and len(known_stages) == len(stages) else None
    if seconds is None:
        unknown["seconds"] = next(iter(unknown.values()), "no worker has told its kind of machine yet")
    memory = _together(one.memory for one in each)
    device = _together(one.device_memory for one in each)
    if memory is None:
        unknown["memory_bytes"] = "no worker has measured what training keeps of an image yet"
    if device is None:
        on_gpu = any(machine.startswith(ACCELERATED) for machine in machines)
        reason = "no job like it has run on the accelerator yet" if on_gpu else "the workers train on the CPU"
        unknown["device_memory_bytes"] = reason
    cache = max((one.cache_bytes for one in each if one.cache_bytes is not None), default=None)
    if cache is None:
        unknown["cache_bytes"] = "no worker has asked this teacher yet, so the size of its answers is not known"
    found = Estimate(
        stages=stages,
        seconds=seconds,
        at_least=at_least,
        memory_bytes=memory,
        device_memory_bytes=device,
        cache_bytes=cache,
        storage_bytes=needs.storage_bytes(spec, students),
        cached=sorted(cached.values()) if one_host else [],
        machines=machines,
        measured=bool(each) and all(one.measured for one in each),
        unknown=unknown,
    )
    least_memory = min((worker.memory_bytes for worker in trainers if worker.memory_bytes), default=None)
    return _with_limits(found, bounds or Bounds(), least_memory)


def require_sensible(found: Estimate, defaults: Quotas) -> list[str]:
    """What its user is told of a job that takes very long.

    Raises:
        JobTooLong: if the operator allows no such job.
    """
    least, limit = found.at_least, defaults.job_hours
    if limit is not None and least.low > limit * 3600:
        raise JobTooLong(
            f"The job would take about {duration(least.expected)} on the workers that are here; "
            f"this service allows {limit:g} hours.",
            hint="Lower distill.image_steps or image_size, or choose a smaller student; "
            "POST /v1/jobs/estimate tells what a job takes.",
        )
    if least.expected <= LONG_SECONDS:
        return []
    between = f"{duration(least.low)} to {duration(least.high)}"
    return [
        f"The job would take about {duration(least.expected)} on the workers that are here ({between}). "
        "Lower distill.image_steps or image_size, choose a smaller student, or start a faster worker."
    ]


def duration(seconds: float) -> str:
    """`3 hours`, for a person."""
    for unit, length in (("year", 365 * 86400.0), ("day", 86400.0), ("hour", 3600.0), ("minute", 60.0)):
        if seconds >= length:
            count = round(seconds / length)
            return f"{count:,} {unit}{'' if count == 1 else 's'}"
    return f"{max(1, round(seconds))} s"


@dataclass(frozen=True)
class _OnMachine:
    """The same of one kind of machine."""

    stages: Mapping[Stage, Range | None]
    unknown: Mapping[Stage, str]
    memory: Range | None
    device_memory: Range | None
    cache_bytes: int | None
    measured: bool


def _on(
    spec: JobSpec,
    dataset: Dataset,
    teachers: Sequence[TeacherCard],
    students: Sequence[StudentCard],
    known: Speeds,
    machine: str,
    cached: Mapping[str, str],
) -> _OnMachine:
    on_gpu = machine.startswith(ACCELERATED)
    live = bool(teachers) and (spec.views.mode == "live" or (spec.views.mode == "auto" and on_gpu))
    counts = _counts(spec, dataset)
    sides = {spec.reprogram.image_size or card.input_size for card in teachers}
    decodes = (counts.training + counts.val + counts.judged) * bool(students) + counts.training * live * len(sides)
    views = 0 if "answers" in cached else views_of_teacher(spec, counts, live=live)
    asked = [Asked(card.architecture, spec.reprogram.image_size or card.input_size, views) for card in teachers]
    left = counts._replace(decodes=0 if "images" in cached else decodes)
    work = [
        piece
        for piece in pieces(spec, left, teachers=asked, live=live)
        if not (piece.work is Work.REPROGRAM and "stage 1" in cached)
    ]
    costs = stage_costs(iter(work), known)
    return _OnMachine(
        stages={stage: cost.seconds for stage, cost in costs.items()},
        unknown={stage: cost.unknown for stage, cost in costs.items() if cost.seconds is None},
        memory=needs.memory(spec, counts, known, students, teachers, on_gpu=on_gpu),
        device_memory=needs.device_memory(spec, counts, known, students) if on_gpu else None,
        cache_bytes=needs.cache_bytes(spec, counts, known, teachers, live=live),
        measured=all(known.is_measured(Work.TRAIN, card.name, spec.image_size) for card in students),
    )


def _counts(spec: JobSpec, dataset: Dataset) -> Counts:
    """Before it is looked into the cache."""
    images: Mapping[str, int] = (dataset.summary or {}).get("counts", {})
    labelled, val, test = (int(images.get(split, 0)) for split in ("train", "val", "test"))
    uses = spec.distill.use_unlabelled and spec.method_info.learns_unlabelled
    return Counts(labelled, int(images.get("unlabelled", 0)) * uses, val, test or val or labelled, 0)


def _cached(session: Session, spec: JobSpec) -> dict[str, str]:
    """What earlier jobs on the data set have left to this one, unless it was evicted meanwhile."""
    found = {}
    mine = spec.model_dump(mode="json")
    unasked, untrained = set(spec.every_teacher), set(spec.every_teacher)
    for earlier in job_queries.specs_that_succeeded(session, spec.dataset_id, _EARLIER):
        if _equal(mine, earlier, "image_size") and spec.every_student:
            found["images"] = f"images decoded at {spec.image_size} px"
        if spec.method_info.needs_teacher and _equal(mine, earlier, "views", "seed"):
            asked = {*(earlier.get("teachers") or ()), earlier.get("teacher")}
            if mine["reprogram"].get("image_size") == earlier.get("reprogram", {}).get("image_size"):
                unasked -= asked
            if _equal(mine, earlier, "reprogram", "balance", "method"):
                untrained -= asked
    if spec.every_teacher and not unasked:
        found["answers"] = "the teacher's answers" if len(spec.every_teacher) == 1 else "the teachers' answers"
    if spec.every_teacher and not untrained:
        found["stage 1"] = "stage 1"
    return found


def _equal(mine: Mapping[str, Any], earlier: Mapping[str, Any], *names: str) -> bool:
    return all(mine.get(name) == earlier.get(name) for name in names)


def _together(ranges: Iterable[Range | None]) -> Range | None:
    """Of several kinds of machines, any of which may take the job; None if nothing is known of any."""
    known = [found for found in ranges if found is not None]
    if not known:
        return None
    middle = sum(found.expected for found in known) / len(known)
    return Range(min(found.low for found in known), middle, max(found.high for found in known))


def _trainers(session: Session) -> list[Worker]:
    """Those that run; where none does, those that have run lately."""
    lately = (trainer for trainer in catalogue.trainers(session) if trainer.silent < FORGOTTEN)
    found = [trainer for trainer in lately if trainer.worker.machine]
    running = [trainer.worker for trainer in found if trainer.worker.stopped_at is None]
    return running or [trainer.worker for trainer in found]


def _with_limits(found: Estimate, bounds: Bounds, machine_memory: int | None) -> Estimate:
    limits = []
    seconds, memory = found.seconds, found.memory_bytes
    if bounds.job_hours is not None and seconds is not None and seconds.expected > bounds.job_hours * 3600:
        took = duration(seconds.expected)
        limits.append(Limit("TDMR_JOB_HOURS", f"An attempt of {bounds.job_hours:g} h is ended; it needs about {took}."))
    if memory is not None:
        said = f"It needs about {memory.expected / 1e9:.1f} GB"
        if bounds.child_memory_gb is not None and memory.expected > bounds.child_memory_gb * 1e9:
            limits.append(Limit("TDMR_CHILD_MEMORY_GB", f"{said}; the limit is {bounds.child_memory_gb:g} GB."))
        if machine_memory is not None and memory.expected > machine_memory:
            limits.append(Limit("memory", f"{said}; a worker has {machine_memory / 1e9:.1f} GB."))
    cache = found.cache_bytes
    if bounds.cache_gb is not None and cache is not None and cache > bounds.cache_gb * 1e9:
        said = f"It keeps {cache / 1e9:.1f} GB; {bounds.cache_gb:g} GB are set aside, so other jobs' share is evicted."
        limits.append(Limit("TDMR_CACHE_GB", said))
    return replace(found, limits=limits)
