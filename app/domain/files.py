"""What everybody does with files: hash them, replace them so that a crash leaves the old or the new one, and tell a
host that has lost them from everything else that fails."""

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replaced_atomically(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it is flushed to disk and takes the name, on error it goes.

    fsync the file, rename, fsync the folder: without the last a power cut can undo the rename.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        temporary.unlink(missing_ok=True)


def lost_below(folders: Iterable[Path], error: BaseException) -> bool:
    """Whether `error` says that a file or folder below one of `folders` is gone or cannot be read or written. A disk
    that is full has lost nothing."""
    if not isinstance(error, OSError) or error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return False
    if not isinstance(error.filename, str | bytes | os.PathLike):
        return False
    path = Path(os.fsdecode(error.filename)).absolute()
    return any(path.is_relative_to(folder.absolute()) for folder in folders)
