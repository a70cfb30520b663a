"""What can be uploaded: a folder, an archive, or what an address leads to. Each can be read from any byte on."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import httpx2

from tdmr._zip import PIECE, FolderZip
from tdmr.errors import UploadFailed


class Source(Protocol):
    """Bytes of a known number, under a name."""

    name: str
    size: int

    @property
    def fingerprint(self) -> str:
        """Equal for equal content, as far as can be told without reading it."""
        ...

    def read(self, offset: int = 0) -> Iterator[bytes]:
        """
        Raises:
            UploadFailed: it cannot be read, or has changed.
        """
        ...


class ArchiveFile:
    """An archive on this machine."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        status = path.stat()
        self.size, self._modified = status.st_size, status.st_mtime_ns

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self.path.resolve()}\n{self.size} {self._modified}".encode()).hexdigest()

    def read(self, offset: int = 0) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                left = self.size - offset
                while left and (block := file.read(min(PIECE, left))):
                    left -= len(block)
                    yield block
        except OSError as error:
            raise UploadFailed(f"{self.path} cannot be read: {error.strerror}.") from None
        if left:
            raise UploadFailed(f"{self.path} has become shorter. Upload it again.")


class RemoteFile:
    """An archive on a web server that can send parts of it. It passes through this machine and is kept nowhere."""

    def __init__(self, url: str, name: str, size: int, version: str) -> None:
        self.url, self.name, self.size, self._version = url, name, size, version

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self.url}\n{self.size} {self._version}".encode()).hexdigest()

    def read(self, offset: int = 0) -> Iterator[bytes]:
        try:
            with httpx2.stream(
                "GET", self.url, headers={"Range": f"bytes={offset}-"}, follow_redirects=True, timeout=60
            ) as answer:
                if answer.status_code != httpx2.codes.PARTIAL_CONTENT:
                    raise UploadFailed(f"{_shown(self.url)} answered {answer.status_code} to a range.")
                yield from answer.iter_bytes(PIECE)
        except httpx2.HTTPError as error:
            raise UploadFailed(f"{_shown(self.url)} cannot be read: {error}") from None


def is_address(data: str) -> bool:
    """Whether it leads to something that the service can fetch itself."""
    return data.lower().startswith(("http://", "https://", "s3://"))


def source_of(data: str | os.PathLike[str]) -> Source:
    """
    Raises:
        UploadFailed: there is no such file, or nothing that could be uploaded.
    """
    if isinstance(data, str) and data.startswith(("http://", "https://")):
        return _remote(data)
    path = local(data)
    return FolderZip(path) if path.is_dir() else ArchiveFile(path)


def local(data: str | os.PathLike[str]) -> Path:
    """
    Raises:
        UploadFailed: there is no such folder or file.
    """
    path = Path(data).expanduser()
    if not path.is_dir() and not path.is_file():
        raise UploadFailed(f"There is no {path}. Name a folder, an archive or an address.")
    return path


def _remote(url: str) -> Source:
    try:
        with httpx2.stream("GET", url, headers={"Range": "bytes=0-"}, follow_redirects=True, timeout=60) as answer:
            if answer.is_error:
                raise UploadFailed(f"{_shown(url)} answered {answer.status_code}.")
            name = Path(unquote(urlsplit(url).path)).name or "archive"
            whole = answer.headers.get("Content-Range", "").rpartition("/")[2]
            if answer.status_code == httpx2.codes.PARTIAL_CONTENT and whole.isdigit():
                version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
                return RemoteFile(url, name, int(whole), version)
            return _Fetched(answer, name)
    except httpx2.HTTPError as error:
        raise UploadFailed(f"{_shown(url)} cannot be read: {error}") from None


class _Fetched(ArchiveFile):
    """What a server sends in one piece only: fetched to a temporary file, which goes with this object."""

    def __init__(self, answer: Any, name: str) -> None:
        self._kept = tempfile.NamedTemporaryFile(prefix="tdmr-")  # noqa: SIM115 (closed with this object)
        for piece in answer.iter_bytes(PIECE):
            self._kept.write(piece)
        self._kept.flush()
        super().__init__(Path(self._kept.name))
        self.name = name


def _shown(url: str) -> str:
    """Without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{parts.path}"
