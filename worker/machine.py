"""What kind of machine this is: speeds measured on one hold for all of its kind. Without torch, which takes memory."""

import platform
from importlib.metadata import version
from pathlib import Path

import psutil

from app.domain.speeds import ACCELERATED
from app.settings import Settings
from worker import cpus

_PROCESSORS, _GPUS = Path("/proc/cpuinfo"), Path("/proc/driver/nvidia/gpus")
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def kind(settings: Settings) -> str:
    """`AMD EPYC 7B13, 2 threads, torch 2.15.0`; with the GPU's name in front where it trains on one."""
    processor = f"{_line(_PROCESSORS, 'model name') or platform.machine()}, {cpus.threads(settings)} threads"
    gpu = None if settings.device == "cpu" else _gpu()
    named = processor if gpu is None else f"{ACCELERATED}{gpu} ({settings.device}), {processor}"
    return f"{named}, torch {version('torch')}"[:256]


def memory_bytes() -> int:
    """Of the machine, or of the container where that has less."""
    total = int(psutil.virtual_memory().total)
    for path in _LIMITS:
        if path.is_file() and (text := path.read_text().strip()).isdecimal():
            return min(total, int(text))
    return total


def _gpu() -> str | None:
    for information in sorted(_GPUS.glob("*/information")):
        return _line(information, "Model")
    return None


def _line(path: Path, name: str) -> str | None:
    if not path.is_file():
        return None
    lines = path.read_text(errors="replace").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)
