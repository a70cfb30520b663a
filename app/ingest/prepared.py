"""A prepared data set on its way: one uncompressed zip with `index.json` and `images/…` under names of our own."""

import re
import shutil
import uuid
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Self

from app.domain.dataset import INDEX_NAME, DatasetIndex
from app.domain.errors import DatasetRejected

PREPARED_NAME = "prepared.zip"
_NAME = re.compile(r"images/[0-9]{7,}\.[a-z]{3,4}", re.ASCII)


def image_name(number: int, suffix: str) -> str:
    """`images/0000001.jpg`"""
    return f"images/{number:07d}{suffix}"


class Packer:
    """Writes a prepared data set; the same content in the same order gives the same bytes. Use it in a `with` block:
    the file appears at `target` when the block ends well, and never in part."""

    def __init__(self, target: Path) -> None:
        self._target, self._partial = target, target.with_name(target.name + ".partial")
        self._archive = zipfile.ZipFile(self._partial, "w", zipfile.ZIP_STORED)

    def add(self, name: str, data: bytes) -> None:
        """An image under a name from `image_name`."""
        self._archive.writestr(zipfile.ZipInfo(name), data)

    def add_index(self, index: DatasetIndex) -> None:
        self._archive.writestr(zipfile.ZipInfo(INDEX_NAME), index.model_dump_json(exclude_none=True).encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self._archive.close()
            if kind is None:
                self._partial.replace(self._target)
        finally:
            self._partial.unlink(missing_ok=True)


def unpack_prepared(prepared_zip: Path, data_dir: Path) -> None:
    """Lay out a prepared data set as `data_dir`; it appears there complete or not at all.

    Args:
        prepared_zip: what the import wrote.
        data_dir: must not exist, or be empty; its parent must be on the same file system.

    Raises:
        DatasetRejected: the file is no prepared data set, or damaged.
        FileExistsError: there is something at `data_dir`.
    """
    if data_dir.exists() and any(data_dir.iterdir()):
        raise FileExistsError(f"{data_dir.name} is not empty")
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    temporary = data_dir.with_name(f".{data_dir.name}-{uuid.uuid4().hex}")
    temporary.mkdir()
    try:
        _unpack(prepared_zip, temporary)
        temporary.replace(data_dir)
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise DatasetRejected("The prepared data set is damaged.", hint="Upload the archive again.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unpack(prepared_zip: Path, folder: Path) -> None:
    """
    Raises:
        ValueError: an unexpected name, a missing image, or an index that is none.
    """
    (folder / "images").mkdir()
    with zipfile.ZipFile(prepared_zip) as archive:
        names = set(archive.namelist())
        index = DatasetIndex.model_validate_json(archive.read(INDEX_NAME) if INDEX_NAME in names else b"")
        if names != {INDEX_NAME, *(sample.path for sample in index.samples)}:
            raise ValueError("index and images do not belong together")
        for name in names:
            if name != INDEX_NAME and not _NAME.fullmatch(name):
                raise ValueError("a name that the import never writes")
            with archive.open(name) as source, (folder / name).open("xb") as target:
                shutil.copyfileobj(source, target)
