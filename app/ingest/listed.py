"""The first look at an archive: which entries are images, which may tell labels, and what the others are."""

import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from app.domain.address_tables import NOTES_NAME
from app.domain.dataset import Reason
from app.ingest.addressed import Addressed, read_notes
from app.ingest.entry import Archive, Entry
from app.ingest.foreign import is_camera_raw, kind_by_name, kind_of, looks_like_image
from app.ingest.limits import Limits
from app.ingest.nested import is_archive_name
from app.reading.listing import (
    TEXT_SUFFIXES,
    Listing,
    folder_of,
    has_image_name,
    hidden_folder,
    is_junk,
    name_of,
    suffix_of,
)

MAX_TEXTS_BYTES = 256 * 2**20
"""Of all texts that are held for the readers."""
_HEAD = 4096
UNKNOWN = "anything that is known here"


@dataclass
class Listed:
    """What the first look has found."""

    listing: Listing
    entries: list[Entry]
    """Without junk."""
    skipped: dict[str, Reason] = field(default_factory=dict)
    """Files that are not even decoded, each with its reason."""
    hidden: dict[str, list[str]] = field(default_factory=dict)
    """Hidden folders that hold images, with these."""
    addressed: Addressed = field(default_factory=Addressed)
    """Where the images of a table were fetched."""


def first_look(archive: Archive, limits: Limits) -> Listed:
    """Read the texts, and the beginnings of what has no usual name."""
    addressed = read_notes(archive)
    fetched = frozenset(addressed.paths.values())
    entries = [
        entry for entry in archive.entries if not is_junk(entry.path) and not (fetched and entry.path == NOTES_NAME)
    ]
    found = Listed(Listing(()), entries, dict(addressed.lost), addressed=addressed)
    for entry in archive.entries:
        folder = hidden_folder(entry.path)
        if folder is not None:
            found.hidden.setdefault(folder, []).append(entry.path)
            found.skipped[entry.path] = Reason(
                "in a hidden folder", f"in the hidden folder {folder!r}, whose name begins with a dot"
            )
    images, others = _by_names(entries, fetched, limits, found)
    images |= addressed.lost.keys()
    texts, held = {}, 0
    taken = {entry.path for entry in entries}

    def unsure(entry: Entry) -> bool:
        left_out = is_junk(entry.path) or (fetched and entry.path == NOTES_NAME)
        return entry.path not in images and entry.path not in found.skipped and not left_out

    for entry, data in archive.walk(_bounded(unsure, limits)):
        if _is_packed_text(entry.path):
            path = entry.path[: -len(".gz")]
            text = _unpacked(data, MAX_TEXTS_BYTES - held)
            if text is None or path in taken:
                found.skipped[entry.path] = Reason("a gzip file that is damaged, too large, or beside its content")
            else:
                texts[path] = text
                held += len(text)
        elif looks_like_image(data) and not is_camera_raw(entry.path, data):
            images.add(entry.path)
        elif suffix_of(entry.path) in TEXT_SUFFIXES and held + len(data) <= MAX_TEXTS_BYTES:
            texts[entry.path] = data
            held += len(data)
        else:
            kind = kind_of(entry.path, data[:_HEAD]) or UNKNOWN
            others[entry.path] = kind
            found.skipped[entry.path] = Reason(
                f"not an image but {kind}" if kind != UNKNOWN else f"not an image, nor {kind}"
            )
    found.listing = Listing(
        images=tuple(sorted(images)),
        texts=texts,
        others=others,
        empty_folders=_empty(archive),
        given=tuple(archive.given),
        addresses=addressed.paths,
    )
    return found


def _by_names(
    entries: list[Entry], fetched: Collection[str], limits: Limits, found: Listed
) -> tuple[set[str], dict[str, str]]:
    """The entries that are called like images, and what others are called like; those are noted as skipped."""
    images, others = set(), {}
    for entry in entries:
        if entry.path in fetched:  # whatever came from there: it is decoded, or called by its name
            images.add(entry.path)
        elif is_archive_name(entry.path) and not _is_packed_text(entry.path):
            others[entry.path] = f"a {suffix_of(entry.path)[1:]} archive, not opened here: pack its files themselves"
            found.skipped[entry.path] = Reason("an archive inside the archive is not opened")
        elif entry.size > limits.max_file_bytes:
            found.skipped[entry.path] = Reason(f"larger than {limits.max_file_bytes} bytes")
            if kind := kind_by_name(entry.path):
                others[entry.path] = kind
        elif has_image_name(entry.path):
            images.add(entry.path)
        elif kind := kind_by_name(entry.path):
            others[entry.path] = kind
            found.skipped[entry.path] = Reason(f"not an image but {kind}")
    return images, others


def _is_packed_text(path: str) -> bool:
    """`labels.csv.gz`, as pandas writes it."""
    return suffix_of(path) == ".gz" and suffix_of(path[: -len(".gz")]) in TEXT_SUFFIXES


def _unpacked(data: bytes, most: int) -> bytes | None:
    """None where it is damaged, or larger than `most`."""
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        text = unpacking.decompress(data, max(1, most))
    except zlib.error:
        return None
    return text if unpacking.eof and not unpacking.unused_data else None


def _bounded(unsure: Callable[[Entry], bool], limits: Limits) -> Callable[[Entry], bool]:
    return lambda entry: unsure(entry) and entry.size <= limits.max_file_bytes


def _empty(archive: Archive) -> tuple[str, ...]:
    """Folders that the archive names and that hold nothing, unless their names say that they are nobody's."""
    holding = set()
    for entry in archive.entries:
        folder = folder_of(entry.path)
        while folder and folder not in holding:
            holding.add(folder)
            folder = folder_of(folder.rstrip("/"))
    named = {f"{folder}/" for folder in archive.folders if folder and not is_junk(folder)}
    above = (
        {folder for folder in named if any(other != folder and other.startswith(folder) for other in named)}
        if len(named) < 2_000
        else set()
    )
    empty = named - holding - above
    return tuple(sorted(folder.rstrip("/") for folder in empty if name_of(folder.rstrip("/"))))[:1_000]
