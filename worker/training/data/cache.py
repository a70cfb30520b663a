"""What is computed once on a host: decoded squares, the teacher's answers, the outcome of stage 1.

Everything is addressed by what decides its bytes, never by a position or a path, so jobs share it. Every file is a
safetensors file called by its own SHA-256: it appears whole or not at all, two jobs that write the same one do no harm,
and a wrong byte shows.
"""

import contextlib
import hashlib
import itertools
import json
import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from torch import Tensor

from app.domain.files import replaced_atomically
from app.domain.runtime import MAX_CHECKPOINT_SECONDS
from worker.training.data.records import SUFFIX, RecordStore, sealed

_RECORDS, _STATES = "records", "states"
_MOST_FILES = 65_536
_TEMPORARY_SECONDS = 86_400.0

Description = Mapping[str, Any]
"""Everything that decides some bytes, as plain JSON types."""


def address(description: Description) -> str:
    """SHA-256 of the canonical JSON."""
    canonical = json.dumps(description, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class Cache:
    """A folder that all jobs of a host share.

    Above `limit_bytes` the files that were not used for longest go, but none that this job uses: a job larger than
    the limit still runs. What another job has open stays readable for it.
    """

    def __init__(
        self,
        root: Path,
        limit_bytes: int,
        on_event: Callable[[str, str], None] = lambda code, message: None,
        keep_seconds: float = MAX_CHECKPOINT_SECONDS,
    ) -> None:
        """
        Args:
            keep_seconds: records are written at least this often, so that a crash costs no more.
        """
        self.root = root
        self.limit_bytes = limit_bytes
        self.on_event = on_event
        self.keep_seconds = keep_seconds
        self._in_use: set[Path] = set()
        self._bytes: int | None = None
        self._stores: dict[str, RecordStore] = {}
        _allow_many_files()

    def store(self, description: Description, shape: Sequence[int], dtype: Any) -> "RecordStore":
        """Records of one shape and dtype that `description` and an image's content decide."""
        key = address(description)
        if key not in self._stores:
            self._stores[key] = RecordStore(self, self.root / _RECORDS / key, tuple(shape), np.dtype(dtype))
        return self._stores[key]

    def save_state(self, description: Description, state: Mapping[str, Tensor], facts: Mapping[str, float]) -> None:
        """Keep a trained state and a few numbers about it."""
        tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
        metadata = {"facts": json.dumps(dict(facts))}
        self.write(self._states(description), safetensors.torch.save(tensors, metadata))

    def load_state(self, description: Description) -> tuple[dict[str, Tensor], dict[str, float]] | None:
        """The state that `description` decides, and the numbers kept with it; None if there is none."""
        for path in sealed(self._states(description)):
            with contextlib.suppress(FileNotFoundError):
                content = path.read_bytes()
                if self.check(path, hashlib.sha256(content).hexdigest()):
                    length = int.from_bytes(content[:8], "little")
                    facts = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["facts"])
                    return safetensors.torch.load(content), facts
        return None

    def write(self, folder: Path, content: bytes) -> Path:
        """Write a file that is called by its own SHA-256, once there is space for it."""
        if self._bytes is None or self._bytes + len(content) > self.limit_bytes:
            self.trim(len(content))
        assert self._bytes is not None
        self._bytes += len(content)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{hashlib.sha256(content).hexdigest()}{SUFFIX}"
        with replaced_atomically(path) as temporary:
            temporary.write_bytes(content)
        self._in_use.add(path)
        return path

    def check(self, path: Path, digest: str) -> bool:
        """Whether the file's content is what its name says. Then it is this job's to use; otherwise it is removed.

        Raises:
            FileNotFoundError: another job has removed it.
        """
        if digest != path.stem:
            self.discard(path)
            return False
        os.utime(path)
        self._in_use.add(path)
        return True

    def discard(self, path: Path) -> None:
        """Remove a damaged file, and tell."""
        path.unlink(missing_ok=True)
        self.on_event("cache_damaged", "A file of the cache was damaged. What it held is computed again.")

    def trim(self, needed: int = 0) -> None:
        """Remove what was not used for longest until `needed` bytes are free below the limit."""
        files = []
        # whatever else lies there is not ours
        for path in itertools.chain.from_iterable((self.root / kind).rglob("*") for kind in (_RECORDS, _STATES)):
            with contextlib.suppress(FileNotFoundError):
                facts = path.stat()
                if path.suffix == SUFFIX:
                    files.append((facts.st_mtime_ns, facts.st_size, path))
                elif path.suffix == ".tmp" and time.time() - facts.st_mtime > _TEMPORARY_SECONDS:
                    path.unlink()  # left behind by a job that was killed
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total + needed <= self.limit_bytes:
                break
            if path not in self._in_use:
                path.unlink(missing_ok=True)
                total -= size
        self._bytes = total

    def _states(self, description: Description) -> Path:
        return self.root / _STATES / address(description)


def _allow_many_files() -> None:
    """Raise this process's own limit of open files as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
