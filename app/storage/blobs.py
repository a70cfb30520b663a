"""Blobs under keys, in a folder or in any object store that fsspec knows."""

import io
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

READ_AHEAD_BYTES = 4 * 2**20
"""An open blob holds this much in memory, for each download under way. s3fs alone would take 50 MiB."""
PARTS_AT_ONCE = 2
"""An upload to S3 holds this many parts of 50 MiB in memory. s3fs alone would take 10."""


class Stored(NamedTuple):
    """A blob as the storage lists it."""

    key: str
    bytes: int
    changed: float | None
    """When it came under its key, in seconds by the storage's own clock; None where it does not say."""


class Blobs:
    """Bytes by key. A key is a relative path with forward slashes; a blob is there entirely or not at all.

    A missing blob raises FileNotFoundError, a backend that is away another OSError.
    """

    def __init__(self, url: str) -> None:
        options = {"max_concurrency": PARTS_AT_ONCE} if url.startswith("s3://") else {}
        # a remembered listing would not know what other processes have stored since
        self._fs, self._root = fsspec.core.url_to_fs(url, use_listings_cache=False, **options)

    def put_file(self, key: str, source: Path) -> None:
        """Store a local file, replacing what was there. Do not change `source` in place afterwards: on one disk the
        blob is the same file."""
        path = self._path(key)
        if isinstance(self._fs, LocalFileSystem):
            _put_local(Path(path), source)
        else:
            with _own_errors_as_os_errors():
                self._make_parent(path)
                self._fs.put_file(str(source), path)  # object stores show an object only once it is complete

    def open(self, key: str) -> BinaryIO:
        """Read a blob as a stream that can seek; the caller closes it."""
        path = self._path(key)
        with _own_errors_as_os_errors():
            stream = cast("BinaryIO", self._fs.open(path, "rb", block_size=READ_AHEAD_BYTES))
        return stream if isinstance(self._fs, LocalFileSystem) else cast("BinaryIO", _Remote(stream))

    def fetch(self, key: str, target: Path) -> None:
        """Copy a blob into a local file."""
        path = self._path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        with _own_errors_as_os_errors():
            self._fs.get_file(path, str(target))

    def size(self, key: str) -> int:
        """In bytes."""
        path = self._path(key)
        with _own_errors_as_os_errors():
            return int(self._fs.info(path)["size"])

    def exists(self, key: str) -> bool:
        path = self._path(key)
        try:
            with _own_errors_as_os_errors():  # fsspec's isfile() would say no where the backend is away
                return bool(self._fs.info(path)["type"] == "file")
        except FileNotFoundError:
            return False

    def is_empty(self) -> bool:
        """Whether there is nothing at all, or not even the folder or bucket: a volume that is not mounted looks so."""
        try:
            with _own_errors_as_os_errors():
                return not self._fs.ls(self._root, detail=False)
        except FileNotFoundError:
            return True

    def delete(self, key: str) -> None:
        """Remove a blob; a missing one is no error, so that deleting can be repeated."""
        path = self._path(key)
        with suppress(FileNotFoundError), _own_errors_as_os_errors():
            self._fs.rm_file(path)

    def delete_prefix(self, prefix: str) -> None:
        """Remove every blob under `prefix/`."""
        path = self._path(prefix)
        with suppress(FileNotFoundError), _own_errors_as_os_errors():  # another may be deleting the same
            if self._fs.isdir(path):
                self._fs.rm(path, recursive=True)

    def names(self, folder: str) -> list[str]:
        """Of the blobs and folders right below `folder`; of those in the moment."""
        path = self._path(folder)
        try:
            with _own_errors_as_os_errors():
                found = self._fs.ls(path, detail=False)
        except FileNotFoundError:
            return []
        names = (str(name).rstrip("/").rpartition("/")[2] for name in found)
        return sorted(name for name in names if name not in {"", path.rpartition("/")[2]})

    def below(self, key: str) -> list[Stored]:
        """The blob under `key`, or all blobs under `key/`."""
        path = self._path(key)
        try:
            with _own_errors_as_os_errors():
                found = self._fs.find(path, detail=True)
        except FileNotFoundError:
            return []
        root = len(self._root.rstrip("/")) + 1
        blobs = []
        for name, listed in found.items():
            with suppress(FileNotFoundError), _own_errors_as_os_errors():  # deleted in this moment
                info = listed or self._fs.info(name)  # some backends tell nothing of a path that is a file itself
                if info["type"] == "file":
                    blobs.append(Stored(str(name)[root:], int(info["size"]), _changed(info)))
        return blobs

    def now(self) -> float:
        """The time by the storage's own clock, in seconds."""
        key = f"probe/{uuid.uuid4().hex}"
        path = self._path(key)
        with _own_errors_as_os_errors():
            self._make_parent(path)
            self._fs.pipe_file(path, b"ready")
            try:
                changed = _changed(self._fs.info(path))
            finally:
                self._fs.rm_file(path)
        if changed is None:
            raise OSError("the storage does not say when a file was stored")
        return changed

    def probe(self) -> None:
        """Write and delete a small blob; an OSError where the backend is away or read-only."""
        path = self._path(f"probe/{uuid.uuid4().hex}")
        with _own_errors_as_os_errors():
            self._make_parent(path)
            self._fs.pipe_file(path, b"ready")
            self._fs.rm_file(path)

    def _make_parent(self, path: str) -> None:
        # Only object stores are asynchronous in fsspec, and they have no folders: s3fs would look for the bucket
        # instead each time, and make it where its name is mistyped.
        if not self._fs.async_impl:
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)

    def _path(self, key: str) -> str:
        parts = key.split("/")
        if any(part in {"", ".", ".."} for part in parts) or "\\" in key or "\x00" in key:
            raise ValueError(f"not a storage key: {key!r}")
        return "/".join([self._root.rstrip("/"), *parts])


class _Remote(io.RawIOBase):
    """An open blob of a backend that may go away while it is read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _own_errors_as_os_errors():
            piece = self._stream.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        self._stream.close()
        super().close()


@contextmanager
def _own_errors_as_os_errors() -> Iterator[None]:
    """Each backend has errors of its own; whoever uses a blob knows one kind."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"the storage does not answer: {error}") from error


def _changed(info: Mapping[str, Any]) -> float | None:
    """The latest of the times that a backend tells of a file. Of a local one that is the change of its inode: a hard
    link keeps the file's own time, which may be much earlier."""
    times = (info.get(name) for name in ("LastModified", "last_modified", "updated", "mtime", "created"))
    seconds = [found for found in map(_seconds, times) if found is not None]
    return max(seconds, default=None)


def _seconds(told: Any) -> float | None:
    if isinstance(told, str):
        try:
            told = datetime.fromisoformat(told)
        except ValueError:
            return None
    if isinstance(told, datetime):
        return (told if told.tzinfo is not None else told.replace(tzinfo=UTC)).timestamp()
    return float(told) if isinstance(told, int | float) else None


def _put_local(target: Path, source: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        try:
            os.link(source, temporary)  # an archive of many gigabytes need not be written twice
        except OSError:
            shutil.copyfile(source, temporary)
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """What is acknowledged survives a power cut: the file's bytes, and its name in the folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
