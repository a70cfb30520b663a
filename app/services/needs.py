"""What a job needs beside time: memory, and bytes in the cache and in the storage."""

from collections.abc import Iterable, Sequence

from app.domain.catalog import StudentCard, TeacherCard
from app.domain.spec import JobSpec
from app.domain.speeds import NOTHING, Range, Speeds, Work
from app.domain.workload import Counts, images_a_step, stored_side, training_way, views_of_training

_STATES_OF_WEIGHTS = 5
"""Weights, gradients, momentum, the averaged copy, and one more while a checkpoint is written or the copy made."""
_BYTES = 4
_MEMORY_SPREAD = 1.5
_FILE_SHARES = {"onnx_fp16": 0.5, "onnx_int8": 0.27}
"""Of a file with all weights in float32."""


def memory(
    spec: JobSpec,
    counts: Counts,
    known: Speeds,
    students: Sequence[StudentCard],
    teachers: Sequence[TeacherCard],
    *,
    on_gpu: bool,
) -> Range | None:
    """Of the training process and what it starts, at its peak."""
    way = training_way(spec, counts.training)
    told = [known.exactly(Work.PEAK_MEMORY, card.name, spec.image_size, way) for card in students]
    if told and all(told):
        return largest(told)
    resident = known.of(Work.RESIDENT)
    needs = [_network_bytes(spec, counts, known, card) for card in students] if not on_gpu else []
    if resident is None or not all(need is not None for need in needs):
        return None
    most = max((need for need in needs if need is not None), key=lambda need: need.expected, default=NOTHING)
    weights = float(sum(card.parameters or 0 for card in teachers) * _BYTES)
    base = resident.expected + weights
    return Range((base + most.low) / _MEMORY_SPREAD, base + most.expected, (base + most.high) * _MEMORY_SPREAD)


def device_memory(spec: JobSpec, counts: Counts, known: Speeds, students: Sequence[StudentCard]) -> Range | None:
    way = training_way(spec, counts.training)
    told = [known.exactly(Work.PEAK_DEVICE_MEMORY, card.name, spec.image_size, way) for card in students]
    if told and all(told):
        return largest(told)
    needs = [_network_bytes(spec, counts, known, card) for card in students]
    return largest(needs) if needs and all(needs) else None


def _network_bytes(spec: JobSpec, counts: Counts, known: Speeds, card: StudentCard) -> Range | None:
    """What training a network keeps: states of its weights, and what the way back needs of each image."""
    kept = known.of_network(Work.ACTIVATIONS, card.name, spec.image_size)
    if kept is None:
        return None
    states = float(card.parameters * _BYTES * _STATES_OF_WEIGHTS)
    return kept.times(images_a_step(spec, counts.training)).plus(Range(states, states, states))


def cache_bytes(
    spec: JobSpec, counts: Counts, known: Speeds, teachers: Sequence[TeacherCard], *, live: bool
) -> int | None:
    """Decoded squares, and the teachers' answers."""
    total = 0
    if spec.every_student:
        total += counts.training * _square(stored_side(spec.image_size))
        total += (counts.val + counts.judged) * _square(spec.image_size)
    widths = [known.exactly(Work.TAP_WIDTH, card.architecture) for card in teachers]
    answers = views_of_training(spec, counts, live=live)
    for width in widths:
        if width is None:
            return None
        total += round(width.expected) * (answers * 2 + (counts.val + counts.judged) * 4)
    sides = {spec.reprogram.image_size or card.input_size for card in teachers}
    return total + sum(counts.training * _square(stored_side(side)) for side in sides if live)


def _square(side: int) -> int:
    return 3 * side * side


def storage_bytes(spec: JobSpec, students: Sequence[StudentCard]) -> int:
    """Of the published files: weights, once a file, and about as much as figures and tables take."""
    files = 1 + sum(_FILE_SHARES.get(str(chosen), 1.0) for chosen in spec.export.formats)
    weights = sum(card.parameters * _BYTES for card in students)
    return round(weights * files)


def largest(ranges: Iterable[Range | None]) -> Range | None:
    """Of several students, who train one after another, the largest decides. None if one is unknown."""
    found = list(ranges)
    known = [one for one in found if one is not None]
    if not known or len(known) < len(found):
        return None
    return max(known, key=lambda one: one.expected)
