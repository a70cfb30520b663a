"""One run of `python -m worker.training` in a process of its own, watched from outside."""

import contextlib
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from app.domain.answers import ANSWERS_NAME, PREDICTORS, read_answers
from app.domain.progress import LINE, FailureLine, Line, MetricLine, StageLine
from app.domain.states import Stage
from worker.child import Child

_POLL_SECONDS = 0.1
_KIB_IN_A_MIB = 1024
_MEMORY = ("VmHWM", "RssAnon")
"""Of /proc/PID/status: the most resident memory so far, and what of it is no file's now."""


class RunFailed(Exception):
    """The run ended without a result; the message is its failure line."""


class Interrupted(Exception):
    """The benchmark was asked to stop; the run was ended."""


@dataclass(frozen=True)
class Machine:
    """Where and with what a run computes."""

    cache: Path
    """`TDMR_CACHE_DIR`: the teacher's answers, shared by all runs that use the same folder."""
    weights: Path | None = None
    """`TDMR_MODELS_DIR`: a folder of local teachers."""
    threads: int = 1
    """Another number of threads rounds otherwise, and a run is then another draw."""

    @property
    def environment(self) -> dict[str, str]:
        settings = {"TDMR_CACHE_DIR": str(self.cache), "OMP_NUM_THREADS": str(self.threads)}
        if self.weights is not None:
            settings["TDMR_MODELS_DIR"] = str(self.weights.resolve())
        return settings


@dataclass(frozen=True)
class Outcome:
    """What a run left behind."""

    manifests: dict[str, dict[str, Any]]
    """By student; for `probe`, under an empty name."""
    seconds: float
    """Wall time of the whole process."""
    cpu_seconds: float | None
    """Of the process and of those that it has started and seen end. Other work on the machine slows it down, but adds
    little to these."""
    peak_rss_mib: float | None
    """Most resident memory, mapped files included; the system may drop those pages at any time."""
    peak_anonymous_mib: float | None
    """Most memory that is no file's: what the machine must have."""
    anonymous_mib: dict[str, float] = field(default_factory=dict)
    """The same by stage: the export's own peak must not hide what training takes."""
    curves: dict[str, float] = field(default_factory=dict)
    """The last value of every curve of stage 2."""
    right: dict[str, str] = field(default_factory=dict)
    """Of `student`, `teacher` and `probe`, where there is one: which of the judged images it answers rightly, in the
    order of the images, `packed`. Nothing of a run with several students."""

    @property
    def manifest(self) -> dict[str, Any]:
        """Of the only student."""
        (manifest,) = self.manifests.values()
        return manifest


def run_training(
    spec: dict[str, Any], data: Path, machine: Machine, stop: threading.Event | None = None, out: Path | None = None
) -> Outcome:
    """Train and read what came out.

    Args:
        spec: a TrainingSpec as JSON.
        stop: set to end the run.
        out: where the run's files shall stay; default: a temporary folder.

    Raises:
        RunFailed: no manifest came out.
        Interrupted: `stop` was set.
    """
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        out = out or root / "out"
        (root / "spec.json").write_text(json.dumps(spec))
        began = time.monotonic()
        child = Child(
            [sys.executable, "-m", "worker.training", *map(str, (root / "spec.json", data, out))],
            env=machine.environment,
        )
        try:
            seen = _watch(child, stop)
        finally:
            status = child.close()
        seconds = time.monotonic() - began
        if status != 0:
            raise RunFailed(f"{seen.failure or f'exit status {status}'}\n{child.stderr_tail()}")
        anonymous = max(seen.anonymous.values(), default=None)
        return Outcome(
            _manifests(out),
            seconds,
            seen.cpu_seconds,
            seen.resident,
            anonymous,
            seen.anonymous,
            seen.curves,
            _right_answers(out / ANSWERS_NAME),
        )


def machine_name() -> str:
    """Processor and number of cores."""
    try:
        processors = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    except OSError:
        processors = []
    name = processors[0].partition(":")[2].strip() if processors else "unknown processor"
    return f"{name}, {os.cpu_count()} cores"


def _manifests(out: Path) -> dict[str, dict[str, Any]]:
    """One in each student's folder where there are several, else the one at the top."""
    found = sorted(out.glob("*/manifest.json")) or [out / "manifest.json"]
    manifests = [json.loads(path.read_bytes()) for path in found]
    return {manifest["spec"]["student"] or "": manifest for manifest in manifests}


def _right_answers(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(read_answers(file))
    right = {}
    for who in PREDICTORS:
        said = [(getattr(row, who), row.label) for row in rows]
        if all(answer is not None for answer, _ in said):
            right[who] = packed([answer.answer == label for answer, label in said])
    return right


def packed(right: Sequence[bool]) -> str:
    """A bit each, after a 1 that keeps leading zeros, in hexadecimal."""
    return f"{int('1' + ''.join('01'[one] for one in right), 2):x}"


class _Seen:
    """What a run has said, and how large it has been."""

    def __init__(self) -> None:
        self.failure: str | None = None
        self.curves: dict[str, float] = {}
        self.stage = "start"
        self.cpu_seconds: float | None = None
        self.resident: float | None = None
        self.anonymous: dict[str, float] = {}
        """Largest so far, by stage."""

    def hear(self, line: Line) -> None:
        if isinstance(line, FailureLine):
            self.failure = f"{line.code}: {line.detail}"
        elif isinstance(line, StageLine):
            self.stage = line.stage
        elif isinstance(line, MetricLine) and line.stage is Stage.DISTILL:
            self.curves.update(line.values)

    def sample(self, pid: int) -> None:
        """At its CPU time, and where there is a /proc at its memory, in MiB."""
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(pid).cpu_times()
            self.cpu_seconds = times.user + times.system + times.children_user + times.children_system
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            return
        kib = {name: int(value.split()[0]) for name, value in (line.split(":", 1) for line in lines) if name in _MEMORY}
        if len(kib) == len(_MEMORY):  # a process that is ending has none
            self.resident = kib["VmHWM"] / _KIB_IN_A_MIB
            self.anonymous[self.stage] = max(self.anonymous.get(self.stage, 0.0), kib["RssAnon"] / _KIB_IN_A_MIB)


def _watch(child: Child, stop: threading.Event | None) -> _Seen:
    """Wait for the end."""
    seen = _Seen()
    while not child.ended():
        if stop is not None and stop.is_set():
            raise Interrupted
        seen.sample(child.pid)
        line = child.read(_POLL_SECONDS)
        if line is not None:
            seen.hear(LINE.validate_json(line))
    return seen
