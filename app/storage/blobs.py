"""Blobs under keys, in a folder or in any object store that fsspec knows."""

import os
import shutil
import uuid
from pathlib import Path
from typing import BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem


class Blobs:
    """Bytes by key. A key is a relative path with forward slashes; a blob is there entirely or not at all.

    A missing blob raises FileNotFoundError, a backend that is away an OSError or the backend's own error.
    """

    def __init__(self, url: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(url)

    def put_file(self, key: str, source: Path) -> None:
        """Store a local file, replacing what was there. Do not change `source` in place afterwards: on one disk the
        blob is the same file."""
        path = self._path(key)
        if isinstance(self._fs, LocalFileSystem):
            _put_local(Path(path), source)
        else:
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._fs.put_file(str(source), path)  # object stores show an object only once it is complete

    def open(self, key: str) -> BinaryIO:
        """Read a blob as a stream that can seek; the caller closes it."""
        return cast("BinaryIO", self._fs.open(self._path(key), "rb"))

    def fetch(self, key: str, target: Path) -> None:
        """Copy a blob into a local file."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._fs.get_file(self._path(key), str(target))

    def size(self, key: str) -> int:
        """In bytes."""
        return int(self._fs.info(self._path(key))["size"])

    def exists(self, key: str) -> bool:
        return bool(self._fs.isfile(self._path(key)))

    def delete(self, key: str) -> None:
        """Remove a blob; a missing one is no error, so that deleting can be repeated."""
        try:
            self._fs.rm_file(self._path(key))
        except FileNotFoundError:
            return

    def delete_prefix(self, prefix: str) -> None:
        """Remove every blob under `prefix/`."""
        path = self._path(prefix)
        if self._fs.isdir(path):
            self._fs.rm(path, recursive=True)

    def probe(self) -> None:
        """Write and delete a small blob; raises what the backend raises when it is away or read-only."""
        path = self._path(f"probe/{uuid.uuid4().hex}")
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._fs.pipe_file(path, b"ready")
        self._fs.rm_file(path)

    def _path(self, key: str) -> str:
        parts = key.split("/")
        if any(part in {"", ".", ".."} for part in parts) or "\\" in key or "\x00" in key:
            raise ValueError(f"not a storage key: {key!r}")
        return "/".join([self._root.rstrip("/"), *parts])


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
