"""How many cores this process may really use, and how the threads of its children wait.

A container with a quota of two cores sees all 64 of its host, and a thread more than there are cores costs dearly:
OpenMP's threads wait for each other after each operation, by default by turning in a loop, which keeps the core from
the one thread that is waited for.
"""

import math
import os
from pathlib import Path

from app.settings import Settings

_CGROUP = Path("/sys/fs/cgroup")
PASSIVE = {
    "OMP_WAIT_POLICY": "PASSIVE",  # GNU's, LLVM's and Intel's OpenMP
    "KMP_BLOCKTIME": "0",  # the latter two wait 200 ms otherwise
}
_COUNTED_BY = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def available(cgroup: Path = _CGROUP) -> int:
    """Cores by affinity and by the container's quota, rounded up; at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def threads(settings: Settings) -> int:
    """Of a training process."""
    if settings.threads is not None:
        return settings.threads
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(given) if given.isdecimal() and int(given) else available()


def environment(settings: Settings) -> dict[str, str]:
    """What a child that computes gets beside the listed variables; who sets a variable knows why."""
    count = str(threads(settings))
    passive = {name: value for name, value in PASSIVE.items() if name not in os.environ}
    return passive | dict.fromkeys(_COUNTED_BY, count)


def _quota(cgroup: Path) -> float | None:
    """In cores; None where there is no limit. A process in a container sees its own group at the root."""
    v2 = _read(cgroup / "cpu.max").split()
    if v2:
        return None if v2[0] == "max" else int(v2[0]) / int(v2[1])
    quota = _read(cgroup / "cpu" / "cpu.cfs_quota_us")
    period = _read(cgroup / "cpu" / "cpu.cfs_period_us")
    return int(quota) / int(period) if quota and period and int(quota) > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
