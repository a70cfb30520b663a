"""Any accepted archive as a list of checked entries and a walk over their bytes. Nothing is ever extracted by name."""

import tarfile
from pathlib import Path

from app.domain.errors import DatasetRejected
from app.ingest.addressed import refusal
from app.ingest.columnar import open_table
from app.ingest.entry import Archive
from app.ingest.limits import Limits
from app.ingest.tarred import COMPRESSED, TarArchive
from app.ingest.zipped import ZipArchive

ACCEPTED = "Send a zip, tar, tar.gz or tar.zst archive."


def open_archive(path: Path, limits: Limits, encoding: str | None = None, labels_column: str | None = None) -> Archive:
    """Tell the kind by content and check every entry, before anything is decoded.

    Args:
        path: the file.
        limits: what it may ask of us.
        encoding: of its names, as its owner says.
        labels_column: of a parquet table, as its owner says.

    Raises:
        DatasetRejected: not an archive, damaged, encrypted, unsafe, or over a limit; with the entry where there is one.
    """
    with path.open("rb") as file:
        magic = file.read(6)
    if not magic:
        raise DatasetRejected("The file is empty.", hint=ACCEPTED)
    if magic.startswith(b"PK"):
        return ZipArchive(path, limits, encoding)
    if magic.startswith((b"PAR1", b"ARROW1")):
        return open_table(path, limits, labels_column)
    if magic.startswith((b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!")):
        raise DatasetRejected("xz, 7z and rar archives are not accepted.", hint=ACCEPTED)
    if (table := refusal(path)) is not None:
        raise table
    if not magic.startswith(COMPRESSED) and path.stat().st_size < tarfile.BLOCKSIZE:
        raise DatasetRejected("The file is not an archive.", hint=ACCEPTED)
    return TarArchive(path, limits, encoding)
