"""What an exported file costs whoever deploys it: bytes, and the time that this worker takes for it."""

import logging
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from pydantic import TypeAdapter

from app.domain.manifest import Latency, Measurement
from worker.training.export.parity import process_environment

GPU_RUNTIMES = (".ts", ".pt2")
"""Suffixes of the files that torch runs. The ONNX runtime that is installed knows the CPU only."""
TIMEOUT_SECONDS = 120
"""Of one process; it takes about 5 and, with a network that takes seconds an image, half a minute."""

MEASURED, NOT_MEASURED = "measured", "not_measured"
"""Codes of events."""

_LATENCIES = TypeAdapter(tuple[Latency, ...])
log = logging.getLogger(__name__)


def measure_files(
    folder: Path,
    names: Iterable[str],
    *,
    image_size: int,
    device: torch.device,
    timed: bool,
    on_event: Callable[[str, str], None],
) -> dict[str, Measurement]:
    """Bytes and latencies of published files of one student, by name.

    A file whose time cannot be taken has no latencies: it is correct all the same, the gate has seen to that.

    Args:
        image_size: side in pixels of the square that the student takes.
        device: the run's own. Where it is a GPU, torch's formats are timed there too.
        timed: False leaves it at the bytes.
        on_event: takes a code and a sentence, once a file whose time was to be taken.
    """
    measured = {}
    for name in names:
        path = folder / name
        latencies: list[Latency] = []
        if timed:
            places = ["cpu", str(device)] if device.type == "cuda" and path.suffix in GPU_RUNTIMES else ["cpu"]
            for place in places:
                latencies += _latencies(path, image_size, place)
            on_event(MEASURED if latencies else NOT_MEASURED, _say(name, latencies))
        measured[name] = Measurement(bytes=path.stat().st_size, latencies=tuple(latencies))
    return measured


def cpu_name() -> str:
    """As the operating system calls it: `AMD EPYC 7B13`."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _latencies(path: Path, image_size: int, device: str) -> tuple[Latency, ...]:
    command = [sys.executable, "-m", "worker.training.export.latency_run", str(path), "--image-size", str(image_size)]
    command += ["--device", device, "--threads", str(torch.get_num_threads())]
    try:
        done = subprocess.run(
            command,
            env=process_environment(accelerator=device != "cpu"),
            capture_output=True,
            text=True,
            check=True,
            timeout=TIMEOUT_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        log.warning("%s cannot be timed on %s: %s", path.name, device, error.stderr)
        return ()
    except subprocess.TimeoutExpired:
        log.warning("%s takes more than %d seconds to be timed on %s", path.name, TIMEOUT_SECONDS, device)
        return ()
    return _LATENCIES.validate_json(done.stdout)


def _say(name: str, latencies: Iterable[Latency]) -> str:
    said = [
        f"{each.batch} image{'s' if each.batch > 1 else ''} in {each.p50_ms:.3g} ms "
        f"(95 % of {each.calls} calls within {each.p95_ms:.3g} ms) on {each.device}, {each.threads} "
        f"thread{'s' if each.threads > 1 else ''}"
        for each in latencies
    ]
    return f"{name} takes {'; '.join(said)}." if said else f"{name} could not be timed on this worker."
