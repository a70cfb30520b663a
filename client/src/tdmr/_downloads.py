"""A file that is being downloaded: what has arrived of it, and whether that is right."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

from tdmr.errors import DownloadFailed

BLOCK = 1 << 20


class PartialFile:
    """`NAME.part` beside the file that is to be, which takes its place once it is whole and has the right hash."""

    def __init__(self, target: Path, size: int, sha256: str) -> None:
        self.target, self.size, self.sha256 = target, size, sha256
        self.part = target.with_name(f"{target.name}.part")
        self._digest = hashlib.sha256()
        self.offset = 0

    def is_done(self) -> bool:
        """The file is here already."""
        return self.target.is_file() and self.target.stat().st_size == self.size and _hash(self.target) == self.sha256

    def resume(self) -> None:
        """Read again what an earlier attempt has left."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self._digest, self.offset = hashlib.sha256(), 0
        if not self.part.is_file() or self.part.stat().st_size > self.size:
            self.restart()
            return
        with self.part.open("rb") as file:
            while block := file.read(BLOCK):
                self._digest.update(block)
                self.offset += len(block)

    def restart(self) -> None:
        self.part.write_bytes(b"")
        self._digest, self.offset = hashlib.sha256(), 0

    def add(self, piece: bytes) -> None:
        with self.part.open("ab") as file:
            file.write(piece)
        self._digest.update(piece)
        self.offset += len(piece)

    def finish(self) -> bool:
        """Whether it arrived as it was published; if not, nothing of it is kept."""
        if self._digest.hexdigest() != self.sha256:
            self.restart()
            return False
        self.part.replace(self.target)
        return True


def target_of(folder: Path, name: str) -> Path:
    """
    Raises:
        DownloadFailed: the name leads out of the folder.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
        raise DownloadFailed(f"The service names a file {name!r}, which is not written anywhere.")
    return folder.joinpath(*parts)


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
