"""Which file a table means: by its exact path, else by a unique ending of it, whatever the case or the suffix."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import unquote

from app.reading.listing import IMAGE_SUFFIXES, common_folder, name_of, stem_of, suffix_of

EXACT, ENDING, CASE, STEM, PREFIX, NUMBER = (
    "exact path",
    "ending of the path",
    "name in another case",
    "name without or with another suffix",
    "name without the prefix of a labelling tool",
    "number of the file",
)
"""How a file was found."""
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""Label Studio puts it before the name of an uploaded file."""
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/]*/?")
_DRIVE = re.compile(r"^[A-Za-z]:(?=/)")
_COMPARED, _MOST_COMPARED, _MOST_NEAREST = 2_000, 100, 20
"""Names that a missing one is compared with, its characters, and missing ones: each comparison takes some 20 µs."""


class Found(NamedTuple):
    """What a table's cell means."""

    path: str | None
    how: str
    anchored: bool
    """Folders stood in the way and agreed, or there were none in the cell."""


class PathIndex:
    """The images, to be found by what somebody calls them. Inside, all paths are in NFC."""

    def __init__(self, paths: Collection[str], addresses: Mapping[str, str] = MappingProxyType({})) -> None:
        """`addresses`: cells that are known to mean a path, and which."""
        self._addresses = addresses
        self._exact = {path if path.isascii() else unicodedata.normalize("NFC", path): path for path in paths}
        self._nearest: dict[str, str | None] = {}
        self._root = common_folder(self._exact)

    def find(self, cell: str, folder: str = "") -> Found:
        """
        Args:
            cell: a path, a name, a URL or an id.
            folder: of the table, with a trailing slash: relative paths start there.
        """
        if cell in self._addresses:
            return Found(self._addresses[cell], EXACT, anchored=True)
        for path in (folder + cell, cell):
            if path in self._exact:
                return Found(self._exact[path], EXACT, anchored=True)
        parts = parts_of(cell)
        if not parts:
            return Found(None, "", anchored=False)
        whole = "/".join(parts)
        for path in (folder + whole, whole, self._root + whole):
            if path in self._exact:
                return Found(self._exact[path], EXACT, anchored=True)
        return self._by_ending(parts, folder)

    def _by_ending(self, parts: list[str], folder: str) -> Found:
        for how, candidates in self._candidates(parts[-1].casefold()):
            if candidates:
                return self._best(candidates, parts, folder, how)
        return Found(None, "", anchored=False)

    def _candidates(self, name: str) -> Iterator[tuple[str, Sequence[str]]]:
        """Files that a name may mean, the surest first."""
        yield ENDING, self._by_name.get(name, ())
        yield STEM, self._by_stem.get(stem_of(name) if suffix_of(name) in IMAGE_SUFFIXES else name, ())
        original = _UPLOAD_PREFIX.sub("", name)
        if original != name:
            yield PREFIX, self._by_name.get(original, ())
        yield PREFIX, self._by_original.get(name, ())
        if _is_number(name):
            yield NUMBER, self._by_number.get(str(int(name)), ())

    def _best(self, candidates: Sequence[str], parts: list[str], folder: str, how: str) -> Found:
        """The one that agrees with the most folders, if there is one."""
        folders = [part.casefold() for part in parts[:-1]]
        scored = [(self._agreeing(path, folders), path.startswith(folder), path) for path in candidates]
        best = max((score, below) for score, below, _ in scored)
        first = [path for score, below, path in scored if (score, below) == best]
        if len(first) > 1 and how in (ENDING, STEM):  # letter case may decide, and so may the suffix
            same = [path for path in first if name_of(path) == parts[-1] or stem_of(path) == parts[-1]]
            first = same or first
        if len(first) != 1:
            return Found(None, "several", anchored=False)
        (path,) = first
        theirs = path.removeprefix(self._root).split("/")[:-1]
        anchored = best[0] >= 1 or not folders or not theirs
        if how is ENDING and name_of(path) != parts[-1]:
            how = CASE
        return Found(self._exact[path], how, anchored)

    def _agreeing(self, path: str, folders: list[str]) -> int:
        theirs = path.casefold().split("/")[:-1]
        count = 0
        for one, other in zip(reversed(theirs), reversed(folders), strict=False):
            if one != other:
                break
            count += 1
        return count

    def nearest(self, cell: str) -> str | None:
        """A file whose name looks like that, to be named in a message; only for the first few that are asked for."""
        if cell not in self._nearest and len(self._nearest) < _MOST_NEAREST:
            parts = parts_of(cell[:_MOST_COMPARED])
            some = list(self._by_name)[:_COMPARED]
            close = get_close_matches(parts[-1].casefold(), some, n=1, cutoff=0.6) if parts else []
            self._nearest[cell] = self._by_name[close[0]][0] if close else None
        return self._nearest.get(cell)

    @cached_property
    def _by_name(self) -> dict[str, tuple[str, ...]]:
        return _grouped((name_of(path).casefold(), path) for path in self._exact)

    @cached_property
    def _by_stem(self) -> dict[str, tuple[str, ...]]:
        return _grouped((stem_of(path).casefold(), path) for path in self._exact)

    @cached_property
    def _by_original(self) -> dict[str, tuple[str, ...]]:
        return _grouped(
            (_UPLOAD_PREFIX.sub("", name), path)
            for path in self._exact
            if _UPLOAD_PREFIX.match(name := name_of(path).casefold())
        )

    @cached_property
    def _by_number(self) -> dict[str, tuple[str, ...]]:
        """By the digits that end a name, where all names are alike before them."""
        found: list[tuple[str, str]] = []
        before: set[str] = set()
        for path in self._exact:
            stem = stem_of(path)
            digits = re.search(r"[0-9]{1,18}$", stem)
            if digits is None:
                continue
            before.add(stem[: digits.start()].casefold())
            found.append((str(int(digits[0])), path))
        return _grouped(found) if len(before) == 1 else {}


def parts_of(cell: str) -> list[str]:
    """Folders and name that a cell tells, without what belongs to another machine: a URL's host, a drive, `..`."""
    text = cell.strip().replace("\\", "/")
    if "://" in text:
        text = _URL.sub("", text).partition("#")[0]
        query = text.partition("?")
        text = query[0] if name_of(query[0]) and "." in name_of(query[0]) else query[2].rpartition("=")[2] or query[0]
    elif "?d=" in text:  # Label Studio's local files
        text = text.partition("?d=")[2]
    if "%" in text:
        text = unquote(text)
    text = _DRIVE.sub("", text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return [part for part in (part.strip() for part in text.split("/")) if part not in ("", ".", "..")]


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 19


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    for key, path in pairs:
        found[key].append(path)
    return {key: tuple(paths) for key, paths in found.items()}
