"""Tables of addresses: which images one names, before they are fetched, and what is known of these once they are packed
beside it.

The import's process has no network. It lists the addresses; the worker fetches the images, packs them with the table
and with notes (`Address`, a line each), and the import reads that as any other archive.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from pydantic import ValidationError

from app.domain.address_tables import HEAD_BYTES, NOTES_NAME, Address, may_hold_addresses
from app.domain.dataset import Reason
from app.domain.errors import DatasetRejected
from app.ingest.entry import Archive
from app.ingest.limits import Limits
from app.reading.addresses import listed_addresses
from app.reading.listing import JUNK_NAMES
from app.reading.tables.table import open_table
from app.reading.text import decode

MAX_TABLE_BYTES = 256 * 2**20
MAX_NOTES_BYTES = 2**30
COULD_NOT = "could not be fetched"
_MOST_PARTS, _PART_BYTES = 12, 100
_HOW = "Give it one column with the images' addresses, such as `url`, and one with their classes, such as `label`."


@dataclass(frozen=True)
class Addressed:
    """What the notes of an archive say."""

    paths: Mapping[str, str] = field(default_factory=dict)
    """By the cell of the table."""
    lost: Mapping[str, Reason] = field(default_factory=dict)
    """Images that could not be fetched, by path."""

    def told(self) -> str:
        """Ends the sentence that says what was understood."""
        if not self.paths:
            return ""
        lost = f", {len(self.lost):,} could not be fetched" if self.lost else ""
        return f"; {len(self.paths) - len(self.lost):,} images from their URLs{lost}"


def list_addresses(file: Path, name: str, limits: Limits, encoding: str | None = None) -> Iterator[Address]:
    """The addresses of a table's images, each once, with the path that its image is to have.

    Args:
        file: the table.
        name: what it is called.
        limits: its lines count as an archive's entries.
        encoding: as its owner says.

    Raises:
        DatasetRejected: it is no table, or no column of it holds addresses.
    """
    if file.stat().st_size > MAX_TABLE_BYTES:
        raise DatasetRejected(f"{name} has more than {MAX_TABLE_BYTES:,} bytes.", hint="Split it.")
    text = decode(name, file.read_bytes(), encoding)
    table = None if text is None else open_table(name, text.text, limits.max_members - 2)
    cells = None if table is None else listed_addresses(table)
    if cells is None:
        raise DatasetRejected(f"No column of {name} holds addresses of images.", hint=_HOW)
    taken = {name, NOTES_NAME}
    for cell in cells:
        yield Address(cell=cell, path=_path(cell, taken))


def refusal(file: Path) -> DatasetRejected | None:
    """What to say of a table of addresses that was not fetched; None of anything else."""
    with file.open("rb") as opened:
        if not may_hold_addresses(opened.read(HEAD_BYTES)):
            return None
    return DatasetRejected(
        "The file is not an archive but a table of addresses, and this service fetches no images by their addresses.",
        hint="Its operator can allow it with TDMR_FETCH_IMAGES. Or pack the images themselves, with the table.",
    )


def read_notes(archive: Archive) -> Addressed:
    """What the worker has noted of the images; nothing where no table was fetched, or an archive only looks so."""
    if not any(entry.path == NOTES_NAME and entry.size <= MAX_NOTES_BYTES for entry in archive.entries):
        return Addressed()
    there = {entry.path for entry in archive.entries}
    paths: dict[str, str] = {}
    lost: dict[str, Reason] = {}
    for _, data in archive.walk(lambda entry: entry.path == NOTES_NAME):
        try:
            for line in data.splitlines():
                address = Address.model_validate_json(line)
                if address.lost is not None and address.path not in there:
                    lost[address.path] = Reason(f"{COULD_NOT}: {address.lost[:200]}")
                if address.path in there or address.path in lost:
                    paths[address.cell] = address.path
        except ValidationError:
            return Addressed()
    return Addressed(paths, lost)


def _path(cell: str, taken: set[str]) -> str:
    """Host and path of the address, without what may be secret in it, as a name of its own in an archive."""
    bare = re.sub(r"[?#].*", "", re.sub(r"^[A-Za-z0-9+.-]+://", "", cell), flags=re.DOTALL)
    host, _, rest = bare.partition("/")
    parts = [part for part in map(_tidied, [host.rpartition("@")[2], *rest.split("/")]) if part]
    parts = parts[:1] + parts[1:][-_MOST_PARTS:] or ["address"]
    path = "/".join(parts)
    stem, dot, suffix = parts[-1].rpartition(".")
    if not dot:
        stem, suffix = parts[-1], ""
    number = 1
    while path in taken:
        number += 1
        path = "/".join([*parts[:-1], f"{stem} ({number}){dot}{suffix}"])
    taken.add(path)
    return path


def _tidied(part: str) -> str:
    """A part of a path that no check of names refuses, and no list of junk leaves out."""
    plain = unicodedata.normalize("NFC", unquote(part))
    plain = "".join(c if c.isprintable() and c not in '/\\:"' else "_" for c in plain).strip()
    plain = plain.encode()[-_PART_BYTES:].decode(errors="ignore").strip()
    return f"_{plain}" if plain.startswith(".") or plain.lower() in JUNK_NAMES else plain
