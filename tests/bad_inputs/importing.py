"""An archive sent through the front door, imported by the real worker in its child process, and looked up again."""

import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from app.db.engine import Store
from app.settings import Settings
from app.storage.blobs import Blobs
from tests.databases import migrate
from tests.support import client_of
from worker.importing import Importer

Files = Mapping[str, bytes]
LIMITS = {"max_unpacked_bytes": 40_000_000, "max_images": 2_000, "max_classes": 50}
"""Smaller than the defaults, so that going over them is quick."""


@dataclass(frozen=True)
class Door:
    """The service, and what it left on the disk."""

    http: TestClient
    settings: Settings
    importer: Importer

    def imported(self, archive: bytes) -> dict[str, Any]:
        """The data set after its import, as GET tells it."""
        made = self.http.post("/v1/datasets", files={"file": ("images", archive)})
        assert made.status_code == 202, made.text
        self.importer.run(made.json()["id"])
        dataset: dict[str, Any] = self.http.get(made.headers["Location"]).json()
        assert list((self.settings.scratch / "imports").iterdir()) == []
        return dataset

    def rejected(self, archive: bytes) -> str:
        """The reason; nothing of the data set is left, and its report answers 409 with the same reason."""
        before = self.stored()
        dataset = self.imported(archive)
        assert dataset["state"] == "rejected", dataset
        assert dataset["error"]["code"] == "dataset_rejected"
        assert dataset["error"]["hint"]
        assert self.stored() == before
        report = self.http.get(f"/v1/datasets/{dataset['id']}/report")
        assert report.status_code == 409
        reason: str = dataset["error"]["detail"]
        assert reason in report.json()["detail"]
        assert str(self.settings.root) not in report.text
        return reason

    def ready(self, archive: bytes) -> dict[str, Any]:
        """The report of a data set that was taken."""
        dataset = self.imported(archive)
        assert dataset["state"] == "ready", dataset["error"]
        report: dict[str, Any] = self.http.get(f"/v1/datasets/{dataset['id']}/report").json()
        return report | {"id": dataset["id"]}

    def skipped(self, name: str, data: bytes) -> str:
        """Why a file was left out of an otherwise good data set, which takes no harm."""
        report = self.ready(zipped(good() | {name: data}))
        assert report["images"] == len(good())
        ((reason,),) = ([file["reason"] for file in report["skipped"] if file["path"] == name],)
        assert any("left out: 1" in warning for warning in report["warnings"])
        return str(reason)

    def stored(self) -> set[Path]:
        return {path for path in (self.settings.root / "blobs").rglob("*") if path.is_file()}

    def pixels(self, report: dict[str, Any], name: str) -> np.ndarray:
        """An image as training will read it."""
        from app.domain.dataset import DatasetIndex

        (prepared,) = (self.settings.root / "blobs" / "datasets" / report["id"]).glob("*/prepared.zip")
        with zipfile.ZipFile(prepared) as archive:
            index = DatasetIndex.model_validate_json(archive.read("index.json"))
            (sample,) = (sample for sample in index.samples if sample.name == name)
            with Image.open(io.BytesIO(archive.read(sample.path))) as image:
                assert image.format in {"JPEG", "PNG", "WEBP"}
                return np.asarray(image.convert("RGB"))


def open_door(folder: Path) -> Iterator[Door]:
    settings = Settings(home=folder, **LIMITS)  # type: ignore[arg-type]
    migrate(settings.database)
    store = Store(settings.database)
    with client_of(settings) as http:
        yield Door(http, settings, Importer(settings, store, Blobs(settings.storage), "wk_1", threading.Event()))
    store.close()


def picture(number: int, format: str = "PNG", side: int = 12) -> bytes:
    """Another image for another number."""
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), format)


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def good() -> dict[str, bytes]:
    """Two classes of five images."""
    return {f"{name}/{i}.png": picture(100 * c + i) for c, name in enumerate(("cat", "dog")) for i in range(5)}


def zipped(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


class _RawName(zipfile.ZipInfo):
    """An entry whose name is written in another encoding than the format knows."""

    encoding = "ascii"

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 zipfile's own
        return self.filename.encode(self.encoding), self.flag_bits


def zipped_as(encoding: str, files: Files) -> bytes:
    """As an archiver writes it that knows no Unicode: names in the code page of its machine."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            info = _RawName(name)
            info.encoding = encoding
            archive.writestr(info, data)
    return file.getvalue()


def tarred(*members: tarfile.TarInfo | tuple[str, bytes], mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return file.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A link, a device or the like."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def patched(data: bytes, *changes: tuple[bytes, int, bytes]) -> bytes:
    """With bytes overwritten at an offset from the first occurrence of each signature."""
    changed = bytearray(data)
    for signature, offset, new in changes:
        at = changed.index(signature) + offset
        changed[at : at + len(new)] = new
    return bytes(changed)
