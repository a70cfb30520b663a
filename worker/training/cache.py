"""What is computed once on a host: decoded squares, the teacher's answers, the outcome of stage 1.

Everything is addressed by what decides its bytes, never by a position or a path, so jobs share it. Every file is a
safetensors file called by its own SHA-256: it appears whole or not at all, two jobs that write the same one do no harm,
and a wrong byte shows. Records are read into memory as they are wanted, not mapped: mapped pages would count as the
job's own memory, which must not grow with the number of images.

N images, B batch, V views.
"""

import contextlib
import hashlib
import itertools
import json
import os
import resource
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import safetensors.numpy
import safetensors.torch
from torch import Tensor

from app.domain.files import replaced_atomically
from worker.training.loop import CHECKPOINT_SECONDS, Stopped

DIR_VARIABLE, SIZE_VARIABLE = "TDMR_CACHE_DIR", "TDMR_CACHE_GB"
DEFAULT_GB = 20.0
_RECORDS, _STATES, _SUFFIX = "records", "states", ".safetensors"
_ID_BYTES = 32
_LEAST_CHUNK, _LARGEST_CHUNK = 8 << 20, 64 << 20
_CHUNKS_AT_MOST = 512
"""A large store has larger files, so that it is made of some thousands at most: each one in use stays open."""
_MOST_FILES = 65_536
_TEMPORARY_SECONDS = 86_400.0
_READ_BYTES = 1 << 20

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
        self, root: Path, limit_bytes: int, on_event: Callable[[str, str], None] = lambda code, message: None
    ) -> None:
        self.root = root
        self.limit_bytes = limit_bytes
        self.on_event = on_event
        self._in_use: set[Path] = set()
        self._bytes: int | None = None
        self._stores: dict[str, RecordStore] = {}
        _allow_many_files()

    @classmethod
    def of_environment(cls, otherwise: Path, on_event: Callable[[str, str], None]) -> "Cache":
        """In the folder that TDMR_CACHE_DIR names, or in `otherwise`; TDMR_CACHE_GB bounds it, in 10⁹ bytes."""
        folder = os.environ.get(DIR_VARIABLE)
        limit = float(os.environ.get(SIZE_VARIABLE) or DEFAULT_GB)
        return cls(Path(folder) if folder else otherwise, int(limit * 1e9), on_event)

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
        for path in _sealed(self._states(description)):
            with contextlib.suppress(FileNotFoundError):
                content = path.read_bytes()
                if self.check(path, hashlib.sha256(content).hexdigest()):
                    length = int.from_bytes(content[:8], "little")
                    facts = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["facts"])
                    return safetensors.torch.load(content), facts
        return None

    def write(self, folder: Path, content: bytes) -> Path:
        """Write a file that is called by its own SHA-256, once there is room for it."""
        if self._bytes is None or self._bytes + len(content) > self.limit_bytes:
            self.trim(len(content))
        assert self._bytes is not None
        self._bytes += len(content)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{hashlib.sha256(content).hexdigest()}{_SUFFIX}"
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

    def trim(self, room: int = 0) -> None:
        """Remove what was not used for longest until `room` bytes are free below the limit."""
        files = []
        # whatever else lies there is not ours
        for path in itertools.chain.from_iterable((self.root / kind).rglob("*") for kind in (_RECORDS, _STATES)):
            with contextlib.suppress(FileNotFoundError):
                facts = path.stat()
                if path.suffix == _SUFFIX:
                    files.append((facts.st_mtime_ns, facts.st_size, path))
                elif path.suffix == ".tmp" and time.time() - facts.st_mtime > _TEMPORARY_SECONDS:
                    path.unlink()  # left behind by a job that was killed
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total + room <= self.limit_bytes:
                break
            if path not in self._in_use:
                path.unlink(missing_ok=True)
                total -= size
        self._bytes = total

    def _states(self, description: Description) -> Path:
        return self.root / _STATES / address(description)


class Records:
    """Some images' records, in the order asked for. Reads like an array of shape [N, …]; nothing is held in memory."""

    def __init__(
        self, store: "RecordStore", chunks: Sequence["_Chunk"], which_N: np.ndarray, starts_N: np.ndarray
    ) -> None:
        self.store = store
        self._chunks = chunks
        self._which_N = which_N
        self._starts_N = starts_N

    def __len__(self) -> int:
        return len(self._which_N)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.store.shape)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return self.take(np.arange(len(self))[rows])

    def take(self, rows_B: np.ndarray, views_B: np.ndarray | None = None) -> np.ndarray:
        """Copies of these rows [B, …] or, where a record is [V, …], of one view of each."""
        shape = self.store.shape if views_B is None else self.store.shape[1:]
        taken = np.empty((len(rows_B), *shape), self.store.dtype)
        length = taken[0].nbytes if len(taken) else 0
        starts_B = self._starts_N[rows_B]
        if views_B is not None:
            assert len(views_B) == 0 or 0 <= views_B.min() <= views_B.max() < self.store.shape[0]
            starts_B = starts_B + views_B * length
        flat = taken.reshape(-1).view(np.uint8).data
        for place, (which, start) in enumerate(zip(self._which_N[rows_B].tolist(), starts_B.tolist(), strict=True)):
            self._chunks[which].read_into(flat[place * length : (place + 1) * length], start)
        return taken

    def part(self, rows: slice) -> "Records":
        """The records of some of the images."""
        return Records(self.store, self._chunks, self._which_N[rows], self._starts_N[rows])

    def pieces(self, rows: int) -> Iterator[np.ndarray]:
        """All records in order, `rows` at a time."""
        for start in range(0, len(self), rows):
            yield self[start : start + rows]


class RecordStore:
    """Records that one description decides, each called by the SHA-256 of its image's bytes."""

    def __init__(self, cache: Cache, folder: Path, shape: tuple[int, ...], dtype: Any) -> None:
        self.cache = cache
        self.folder = folder
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._chunks: dict[Path, _Chunk] = {}
        self._where: dict[bytes, tuple[_Chunk, int]] = {}

    @property
    def key(self) -> str:
        """The address of what decides its records."""
        return self.folder.name

    @property
    def record_bytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def missing(self, ids: Sequence[str]) -> np.ndarray:
        """Positions in `ids` of the images without a record; of several with one id the first. Damaged files go."""
        self._look()
        places: dict[bytes, int] = {}
        for place, name in enumerate(ids):
            places.setdefault(bytes.fromhex(name), place)
        while True:
            wanted = dict.fromkeys(self._where[name][0] for name in places if name in self._where)
            gone = [chunk for chunk in wanted if not self._usable(chunk)]
            if not gone:
                return np.array([place for name, place in places.items() if name not in self._where], dtype=np.int64)
            for chunk in gone:
                del self._chunks[chunk.path]
            self._where = {}
            for chunk in self._chunks.values():
                self._remember(chunk)

    def put(self, ids: Sequence[str], records: np.ndarray) -> None:
        """Keep these records in one file."""
        assert records.shape == (len(ids), *self.shape) and records.dtype == self.dtype
        names = np.frombuffer(b"".join(map(bytes.fromhex, ids)), np.uint8).reshape(len(ids), _ID_BYTES)
        content = safetensors.numpy.save({"ids": names, "records": np.ascontiguousarray(records)})
        self._add(self.cache.write(self.folder, content))

    def view(self, ids: Sequence[str]) -> Records:
        """Records of these images, all of which are here."""
        assert not len(self.missing(ids))
        found = [self._where[bytes.fromhex(name)] for name in ids]
        chunks = list(dict.fromkeys(chunk for chunk, _ in found))
        numbers = {id(chunk): number for number, chunk in enumerate(chunks)}
        which = np.array([numbers[id(chunk)] for chunk, _ in found], dtype=np.int32)
        starts = np.array([chunk.begin + row * self.record_bytes for chunk, row in found], dtype=np.int64)
        return Records(self, chunks, which, starts)

    def fill(
        self,
        ids: Sequence[str],
        compute: Callable[[np.ndarray], np.ndarray],
        *,
        at_once: int,
        on_progress: Callable[[float], None],
        stop_requested: Callable[[], bool],
    ) -> Records:
        """Compute what is missing, and return the records of all.

        Args:
            compute: records of these positions in `ids`, `at_once` of them or fewer.

        Raises:
            Stopped: a stop was requested; what is done so far is kept. A crash costs half a minute's work at most.
        """
        todo = self.missing(ids)
        room = min(max(len(todo) * self.record_bytes // _CHUNKS_AT_MOST, _LEAST_CHUNK), _LARGEST_CHUNK)
        names: list[str] = []
        records: list[np.ndarray] = []

        def keep() -> None:
            if names:
                self.put(names, np.concatenate(records))
                names.clear()
                records.clear()

        kept = time.monotonic()
        for start in range(0, len(todo), at_once):
            if stop_requested():
                keep()
                raise Stopped
            rows = todo[start : start + at_once]
            records.append(compute(rows))
            names.extend(ids[row] for row in rows)
            if len(names) * self.record_bytes >= room or time.monotonic() - kept > CHECKPOINT_SECONDS:
                keep()
                kept = time.monotonic()
            on_progress((start + len(rows)) / len(todo))
        keep()
        return self.view(ids)

    def _look(self) -> None:
        for path in _sealed(self.folder):
            if path not in self._chunks:
                self._add(path)

    def _add(self, path: Path) -> None:
        try:
            self._chunks[path] = chunk = _Chunk(path, self.record_bytes)
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):  # the header cannot be read
            self.cache.discard(path)
            return
        self._remember(chunk)

    def _remember(self, chunk: "_Chunk") -> None:
        for row, name in enumerate(chunk.ids):
            self._where.setdefault(name, (chunk, row))

    def _usable(self, chunk: "_Chunk") -> bool:
        """Open a file, once a job, if it is whole."""
        if chunk.descriptor is not None:
            return True
        try:
            chunk.open()
            return self.cache.check(chunk.path, chunk.digest())
        except FileNotFoundError:
            return False


class _Chunk:
    """A file of records: its ids are known, and it is open once it is used."""

    def __init__(self, path: Path, record_bytes: int) -> None:
        self.path = path
        self.descriptor: int | None = None
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _READ_BYTES:
                raise ValueError("no header is as long")
            header = cast(dict[str, Any], json.loads(file.read(length)))
            first, last = header["ids"]["data_offsets"]
            file.seek(8 + length + first)
            names = file.read(last - first)
        self.ids = [names[at : at + _ID_BYTES] for at in range(0, len(names), _ID_BYTES)]
        first, last = header["records"]["data_offsets"]
        self.begin = 8 + length + first
        if last - first != len(self.ids) * record_bytes:
            raise ValueError("the records are of another shape")

    def open(self) -> None:
        self.descriptor = os.open(self.path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)

    def digest(self) -> str:
        assert self.descriptor is not None
        digest, at = hashlib.sha256(), 0
        while content := os.pread(self.descriptor, _READ_BYTES, at):
            digest.update(content)
            at += len(content)
        return digest.hexdigest()

    def read_into(self, target: memoryview, start: int) -> None:
        assert self.descriptor is not None
        done = 0
        while done < len(target):
            read = os.preadv(self.descriptor, [target[done:]], start + done)
            if not read:
                raise OSError(f"{self.path.name} ends early")
            done += read


def _sealed(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{_SUFFIX}"))


def _allow_many_files() -> None:
    """Raise this process's own limit of open files as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
