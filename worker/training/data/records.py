"""Records of images on disk: one of a fixed shape for each, called by its image's content, in files of some megabytes.

Read into memory as they are wanted, not mapped: mapped pages would count as the job's own memory, which must not grow
with the number of images.

N images, B batch, V views.
"""

import errno
import hashlib
import json
import os
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import safetensors.numpy

from worker.training.engine.loop import Stopped

SUFFIX = ".safetensors"
_ID_BYTES = 32
_LEAST_CHUNK, _LARGEST_CHUNK = 8 << 20, 64 << 20
_CHUNKS_AT_MOST = 512
"""A large store has larger files, so that it is made of some thousands at most: each one in use stays open."""
_READ_BYTES = 1 << 20


class Records:
    """Some images' records in one store. Nothing is held in memory."""

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
    def key(self) -> str:
        return self.store.key

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.store.shape)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return self.take(np.arange(len(self))[rows])

    def take(self, rows_B: np.ndarray, views_B: np.ndarray | None = None) -> np.ndarray:
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

    def view(self, ids: Sequence[str]) -> "Records":
        return self.store.view(ids)

    def pieces(self, rows: int) -> Iterator[np.ndarray]:
        for start in range(0, len(self), rows):
            yield self[start : start + rows]


class Files(Protocol):
    """The files that a store keeps its records in; see `Cache`, whose methods these are."""

    keep_seconds: float
    """What is computed is kept at least this often."""

    def write(self, folder: Path, content: bytes) -> Path: ...

    def check(self, path: Path, digest: str) -> bool: ...

    def discard(self, path: Path) -> None: ...


class RecordStore:
    """Records that one description decides, each called by the SHA-256 of its image's bytes."""

    def __init__(self, files: Files, folder: Path, shape: tuple[int, ...], dtype: Any) -> None:
        self.files = files
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
        self._find_chunks()
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
        self._add(self.files.write(self.folder, content))

    def view(self, ids: Sequence[str]) -> Records:
        """Records of these images, all of which are here.

        Raises:
            FileNotFoundError: somebody has deleted some since.
        """
        if len(self.missing(ids)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.folder))
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
        chunk_bytes = min(max(len(todo) * self.record_bytes // _CHUNKS_AT_MOST, _LEAST_CHUNK), _LARGEST_CHUNK)
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
            if len(names) * self.record_bytes >= chunk_bytes or time.monotonic() - kept > self.files.keep_seconds:
                keep()
                kept = time.monotonic()
            on_progress((start + len(rows)) / len(todo))
        keep()
        return self.view(ids)

    def _find_chunks(self) -> None:
        for path in sealed(self.folder):
            if path not in self._chunks:
                self._add(path)

    def _add(self, path: Path) -> None:
        try:
            self._chunks[path] = chunk = _Chunk(path, self.record_bytes)
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):  # the header cannot be read
            self.files.discard(path)
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
            return self.files.check(chunk.path, chunk.digest())
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
                raise OSError(errno.EIO, "ends early", str(self.path))
            done += read


def sealed(folder: Path) -> list[Path]:
    """The files of a folder that are called by their own SHA-256."""
    return sorted(folder.glob(f"*{SUFFIX}"))
