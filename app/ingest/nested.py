"""One level of archives in the archive, and of tables that hold images: their entries as if they had been packed into a
folder of its name. Opened only where the images are in them; beside images they stay closed, and that is said."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from app.domain.errors import DatasetRejected
from app.ingest.archive import open_archive
from app.ingest.columnar import open_table
from app.ingest.entry import Archive, Entry
from app.ingest.foreign import kind_by_name
from app.ingest.limits import RATIO_FLOOR_BYTES, Limits
from app.reading.listing import Given, common_folder, has_image_name, is_junk

_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.zst", ".tar.bz2", ".tbz2", ".tbz")
_TABLES = (".parquet", ".arrow")
_MOST_OPENED = 1_000


def is_archive_name(path: str) -> bool:
    return path.lower().endswith((*_ARCHIVES, ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"))


def with_nested(
    archive: Archive, size: int, limits: Limits, scratch: Path, labels_column: str | None, encoding: str | None
) -> Archive:
    """The archive, with what is in its archives.

    Args:
        archive: as it was uploaded.
        size: of that, in bytes.
        limits: for all of it together.
        scratch: an empty folder for copies of the archives inside.
        labels_column: of tables.
        encoding: of names.

    Raises:
        DatasetRejected: an archive inside is damaged, unsafe or over a limit; with its name.
    """
    inner = [e for e in archive.entries if e.path.lower().endswith((*_ARCHIVES, *_TABLES)) and not is_junk(e.path)]
    inner = _without_cache(inner)
    if not inner or _has_images_of_its_own(archive) or len(inner) > _MOST_OPENED:
        return archive
    layered = Layered(archive, {entry.path for entry in inner})
    left_bytes = min(limits.max_unpacked_bytes, max(RATIO_FLOOR_BYTES, size * limits.max_ratio))
    left_entries = limits.max_members - len(archive.entries)
    for number, entry in enumerate(inner):
        copy = scratch / f"nested-{number}"
        archive.copy(entry.path, copy)
        try:
            left = replace(limits, max_unpacked_bytes=left_bytes, max_members=left_entries)
            opened: Archive = (
                open_table(copy, left, labels_column)  # arrow streams do not begin with a word of their own
                if entry.path.lower().endswith(_TABLES)
                else open_archive(copy, left, encoding, labels_column)
            )
        except DatasetRejected as error:
            raise DatasetRejected(f"{entry.path}, inside the archive: {error.detail}", hint=error.hint) from None
        left_bytes -= sum(one.size for one in opened.entries)
        left_entries -= len(opened.entries)
        layered.add(entry.path, opened)
    return layered


def _has_images_of_its_own(archive: Archive) -> bool:
    """Images in folders: those at the top are covers and the like."""
    images = [entry.path for entry in archive.entries if has_image_name(entry.path) and not is_junk(entry.path)]
    root = common_folder(entry.path for entry in archive.entries if not is_junk(entry.path))
    return any("/" in path.removeprefix(root) for path in images)


def _without_cache(inner: list[Entry]) -> list[Entry]:
    """`datasets` leaves copies beside an arrow table, called `cache-….arrow`."""
    return [entry for entry in inner if not entry.path.rpartition("/")[2].startswith("cache-")]


class Layered:
    """See `Archive`: an archive, and those that were opened in it."""

    def __init__(self, outer: Archive, opened: set[str]) -> None:
        self._outer, self._opened = outer, opened
        self._inner: list[tuple[dict[str, str], Archive]] = []
        self.entries = [entry for entry in outer.entries if entry.path not in opened]
        self.folders = list(outer.folders)
        self.notes = list(outer.notes)
        self.given: list[Given] = list(outer.given)
        self._taken = {entry.path for entry in self.entries}

    def add(self, path: str, archive: Archive) -> None:
        """Beside the other entries, in a folder called like the archive."""
        folder = path.removesuffix(_suffix(path))
        while any(taken.startswith(f"{folder}/") for taken in self._taken) and not archive.given:
            folder += "_"
        paths = {entry.path: f"{folder}/{entry.path}" for entry in archive.entries}
        self.entries += [Entry(paths[entry.path], entry.size) for entry in archive.entries]
        self._taken.update(list(paths.values())[:1])
        self.folders += [f"{folder}/{inner}" for inner in archive.folders]
        self.notes += archive.notes
        self.given += [
            replace(given, labels={paths[name]: label for name, label in given.labels.items()})
            for given in archive.given
        ]
        self._inner.append((paths, archive))
        kind = kind_by_name(path) or "an archive"
        if len(self._inner) <= 3:
            self.notes.append(f"{path!r} is {kind} inside the archive; it was opened.")

    def walk(self, wanted: Callable[[Entry], bool]) -> Iterator[tuple[Entry, bytes]]:
        yield from self._outer.walk(lambda entry: entry.path not in self._opened and wanted(entry))
        for paths, archive in self._inner:
            yield from self._walk_inner(paths, archive, wanted)

    def _walk_inner(
        self, paths: dict[str, str], archive: Archive, wanted: Callable[[Entry], bool]
    ) -> Iterator[tuple[Entry, bytes]]:
        for entry, data in archive.walk(lambda entry: wanted(Entry(paths[entry.path], entry.size))):
            yield Entry(paths[entry.path], entry.size), data

    def copy(self, path: str, target: Path) -> None:
        for _, data in self.walk(lambda entry: entry.path == path):
            target.write_bytes(data)


def _suffix(path: str) -> str:
    lower = path.lower()
    return path[-len(next(s for s in sorted((*_ARCHIVES, *_TABLES), key=len, reverse=True) if lower.endswith(s))) :]
