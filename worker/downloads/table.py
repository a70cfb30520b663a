"""From a table of addresses to an archive of what lies there."""

import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from app.domain.address_tables import NOTES_NAME, Address
from app.domain.files import sha256_file
from worker.downloads.download import Fetched
from worker.downloads.images import Images

_PIECE_BYTES = 2**20


def read_addresses(file: Path) -> list[Address]:
    """As the import has listed them.

    Raises:
        ValueError: it is not such a list.
    """
    with file.open("rb") as lines:
        return [Address.model_validate_json(line) for line in lines]


def pack(
    target: Path, table: Path, name: str, addresses: Sequence[Address], images: Images, check: Callable[[], None]
) -> Fetched:
    """Write the table, what is known of its addresses, and the images that have come, as one zip.

    The same bytes give the same file: data sets that share them share a blob.

    Args:
        target: the file to write.
        table: what was uploaded.
        name: of the table, in the archive.
        addresses: in the order of the images' numbers.
        images: that were fetched.
        check: called between two images; what it raises ends this.
    """
    notes = "".join(f"{line}\n" for line in _notes(addresses, images)).encode()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, name, table)
        archive.writestr(zipfile.ZipInfo(NOTES_NAME), notes)
        for number, address in enumerate(addresses):
            check()
            if number not in images.lost:
                _add(archive, address.path, images.path(number))
    return Fetched(target, target.stat().st_size, sha256_file(target))


def _notes(addresses: Sequence[Address], images: Images) -> Iterator[str]:
    for number, address in enumerate(addresses):
        yield address.model_copy(update={"lost": images.lost.get(number)}).model_dump_json()


def _add(archive: zipfile.ZipFile, name: str, source: Path) -> None:
    info = zipfile.ZipInfo(name)  # with no time of its own
    info.file_size = source.stat().st_size
    with source.open("rb") as file, archive.open(info, "w") as packed:
        shutil.copyfileobj(file, packed, _PIECE_BYTES)
