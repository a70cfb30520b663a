"""How the process gets its memory."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_BYTES = 1 << 30


def keep_freed_memory() -> bool:
    """Let glibc keep what was freed instead of handing it back to the kernel after each layer.

    By default each tensor over 32 MiB is mapped, zeroed page by page by the kernel, and unmapped: on a CPU that is two
    thirds of a teacher's time (docs/benchmarks/cost.md, "Memory allocator"). Returns whether it was done; other C
    libraries are left alone.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _BYTES) and mallopt(_TRIM_THRESHOLD, _BYTES))
