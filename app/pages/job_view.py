"""What the page of one job shows, put together from what the routes' services give."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from app.db.models import JobEvent
from app.domain.evaluation import Evaluation
from app.domain.manifest import Manifest
from app.domain.methods import find_method
from app.domain.model_selection import Choice
from app.domain.states import Stage
from app.pages.job_lines import JobLine

LEAD = re.compile(r"After (\d+) of")


@dataclass(frozen=True, slots=True)
class StageStep:
    """A part of the stage line."""

    name: str
    state: str
    """`done`, `now`, `stopped` or ``."""
    seconds: float | None


def stages(line: JobLine, events: Sequence[JobEvent]) -> list[StageStep]:
    """How long each stage has taken, in the attempt that counts: the last one that began it."""
    begun: dict[str, datetime] = {}
    order: list[str] = []
    for event in events:
        if event.kind == "stage":
            begun[event.code] = event.created_at
            if event.code in order:
                del order[order.index(event.code) :]
            order.append(event.code)
    job = line.job
    end = job.finished_at or (datetime.now(UTC) if job.state == "running" else job.updated_at)
    spans = {
        name: ((begun[order[place + 1]] if place + 1 < len(order) else end) - begun[name]).total_seconds()
        for place, name in enumerate(order)
    }
    current = job.stage.value if job.stage else None
    steps = []
    for stage in Stage:
        name = stage.value
        if name not in spans:
            state = "done" if job.state == "succeeded" and not order else ""
        elif job.state == "succeeded" or name != current:
            state = "done"
        else:
            state = "now" if job.state == "running" else "stopped" if job.state in {"failed", "cancelled"} else ""
        steps.append(StageStep(name, state, spans.get(name)))
    return steps


def read_evaluation(stored: Mapping[str, Any] | None) -> Evaluation | None:
    """None where there is none, or another version wrote it in a way that this one cannot read."""
    try:
        return None if stored is None else Evaluation.model_validate(stored)
    except ValidationError:
        return None


def read_choice(stored: Choice | Mapping[str, Any] | None) -> Choice | None:
    """As `read_evaluation`."""
    try:
        return None if stored is None else Choice.model_validate(stored)
    except ValidationError:
        return None


@dataclass(frozen=True, slots=True)
class FileLine:
    """A published file and what is known of it."""

    name: str
    bytes: int
    parity: str
    latency: str
    is_chosen: bool
    what: str


_WHAT = {
    "student.onnx": "the student, for ONNX Runtime",
    "student.fp16.onnx": "half the size, for devices with float16",
    "student.int8.onnx": "a quarter of the size, for CPUs",
    "student.pixels.onnx": "takes a picture of any size, preprocessing inside",
    "student.ts": "TorchScript, for PyTorch without this code",
    "student.pt2": "torch.export, for PyTorch",
    "student.safetensors": "the weights alone",
    "student.preview.onnx": "the student of the moment when the job was cancelled, for ONNX Runtime",
    "student.preview.safetensors": "its weights alone",
    "manifest.json": "everything needed to use, verify and reproduce it",
    "model_card.html": "the model card, to send along",
    "model_card.md": "the same, for a repository",
    "evaluation.json": "all figures",
    "answers.csv": "what each model answered to each test image",
    "data_review.json": "likely label errors",
    "reprogrammed.safetensors": "what the teacher has learned; a student does not need it",
    "probe.safetensors": "the linear probe; a student does not need it",
    "confusion_matrix.svg": "a figure",
    "classes.svg": "a figure",
    "reliability.svg": "a figure",
    "training_curves.svg": "a figure",
    "pareto.svg": "a figure",
    "comparison.json": "all files of all students beside each other",
}


def file_lines(names: Mapping[str, int], prefix: str, manifest: Manifest | None, chosen: str | None) -> list[FileLine]:
    """Of the student whose files begin with `prefix`, those that run first."""
    lines = []
    for name, size in names.items():
        if not name.startswith(prefix):
            continue
        own = name.removeprefix(prefix)
        lines.append(
            FileLine(name, size, _parity(manifest, own), _latency(manifest, own), name == chosen, _WHAT.get(own, ""))
        )
    return sorted(lines, key=lambda line: (not line.is_chosen, not line.latency, not line.parity, line.name))


def _parity(manifest: Manifest | None, name: str) -> str:
    found = manifest.parity.get(name) if manifest else None
    if found is None:
        return ""
    if found.accuracy_loss is not None:
        return f"accuracy {-100 * found.accuracy_loss:+.1f} points".replace("-", "−")
    return f"{100 * found.top1_agreement:.1f} % same answers, max |Δlogit| {found.max_logit_difference:.1g}"


def _latency(manifest: Manifest | None, name: str) -> str:
    found = manifest.measured.get(name) if manifest else None
    one = [each for each in found.latencies if each.batch == 1 and each.device == "cpu"] if found else []
    return f"{one[0].p50_ms:.3g} ms" if one else ""


def possible(line: JobLine) -> set[str]:
    """What may be done to the job now, as the API allows it."""
    job = line.job
    match str(job.state.value):
        case "queued":
            return {"pause", "cancel", "delete"}
        case "running":
            if job.cancel_requested:
                return set()
            return {"cancel", "resume" if job.pause_requested else "pause"}
        case "paused":
            return {"resume", "cancel", "delete"}
        case "succeeded":
            return {"rerun", "delete"}
        case _:
            return {"retry", "rerun", "delete"}


def explained_method(line: JobLine) -> str:
    return find_method(line.method).summary
