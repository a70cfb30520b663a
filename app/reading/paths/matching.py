"""Which file a table means: by its exact path, else by a unique ending of it, whatever the case or the suffix."""

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from difflib import get_close_matches
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import unquote

from app.domain.dataset import Reason, Split
from app.reading.listing import IMAGE_SUFFIXES, name_of, stem_of, suffix_of
from app.reading.paths.groups import PathGroups, without_upload_prefix

EXACT, ENDING, CASE, STEM, PREFIX, NUMBER, COLUMN = (
    "exact path",
    "ending of the path",
    "name in another case",
    "name without or with another suffix",
    "name without the prefix of a labelling tool",
    "number of the file",
    "name and a folder that another column tells",
)
"""How a file was found."""
SEVERAL, ELSEWHERE = "several", "elsewhere"
"""Why none was: there is more than one, or all lie in folders of other splits."""
ASIDE = Reason("is a mask or thumbnail of an image, beside it")
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/]*/?")
_DRIVE = re.compile(r"^[A-Za-z]:(?=/)")
_COMPARED, _MOST_COMPARED, _MOST_NEAREST = 2_000, 100, 20
"""Names that a missing one is compared with, its characters, and missing ones: each comparison takes some 20 µs."""
_MOST_THERE = 4
"""Files of one name that a message lists."""


class Found(NamedTuple):
    """What a table's cell means."""

    path: str | None
    how: str
    anchored: bool
    """Folders stood in the way and agreed, or there were none in the cell."""
    there: Sequence[str] = ()
    """Where it is none of them: the files that it may mean."""


class PathIndex:
    """The images, to be found by what somebody calls them. Inside, all paths are in NFC."""

    def __init__(self, paths: Collection[str], addresses: Mapping[str, str] = MappingProxyType({})) -> None:
        """`addresses`: cells that are known to mean a path, and which."""
        self._addresses = addresses
        self._groups = PathGroups(paths)
        self._nearest: dict[str, str | None] = {}
        self._any_split = False

    @cached_property
    def of_any_split(self) -> "PathIndex":
        """Where a name is in folders of several splits, it finds one of these: enough to tell that cells name images,
        before it is known of which split their rows are."""
        index = copy(self)
        index._any_split = True
        return index

    def all_of(self, split: Split) -> frozenset[str]:
        """The images in folders of that split."""
        groups = self._groups
        return frozenset(
            path
            for inside, path in groups.exact.items()
            if (there := groups.split_folder(inside)) and there.split is split
        )

    def aside(self, path: str) -> Reason | None:
        """Why a picture is no image of its own, where it stands beside one."""
        return ASIDE if unicodedata.normalize("NFC", path) in self._groups.asides else None

    def find(self, cell: str, folder: str = "", split: Split | None = None, row: Collection[str] = ()) -> Found:
        """
        Args:
            cell: a path, a name, a URL or an id.
            folder: of the table, with a trailing slash: relative paths start there.
            split: of the row, or of its table. Files in its folder come first; where names recur in each folder, those
                in the folders of other splits are found only by a cell that names the folder.
            row: further cells, one of which may name the folder of one among several files.
        """
        exact = self._groups.exact
        if cell in self._addresses:
            return Found(self._addresses[cell], EXACT, anchored=True)
        if folder + cell in exact and folder + cell not in self._groups.asides:
            return Found(exact[folder + cell], EXACT, anchored=True)
        if cell in exact:
            return Found(exact[cell], EXACT, anchored=True)
        parts = parts_of(cell)
        if not parts:
            return Found(None, "", anchored=False)
        whole = "/".join(parts)
        for path in (folder + whole, whole, self._groups.root + whole):
            if path in exact and (len(parts) > 1 or path not in self._groups.asides):
                return Found(exact[path], EXACT, anchored=True)
        return self._by_ending(parts, folder, split, row)

    def _by_ending(self, parts: list[str], folder: str, split: Split | None, row: Collection[str]) -> Found:
        folders = [part.casefold() for part in parts[:-1]]
        asides = self._groups.asides
        of_own = split is not None and split in self._groups.splits and self._groups.names_recur
        elsewhere: Sequence[str] = ()
        for how, named in self._candidates(parts[-1].casefold()):
            images = [path for path in named if asides.get(path, "") in ("", *folders)] if asides else named
            meant = [path for path in images if not self._is_elsewhere(path, split, folders)] if of_own else images
            if meant:
                return self._best(meant, parts, folder, how, split, row)
            elsewhere = elsewhere or images
        if elsewhere:
            return Found(None, ELSEWHERE, anchored=False, there=self._given(elsewhere))
        return Found(None, "", anchored=False)

    def _candidates(self, name: str) -> Iterator[tuple[str, Sequence[str]]]:
        """Files that a name may mean, the surest first."""
        groups = self._groups
        yield ENDING, groups.by_name.get(name, ())
        yield STEM, groups.by_stem.get(stem_of(name) if suffix_of(name) in IMAGE_SUFFIXES else name, ())
        original = without_upload_prefix(name)
        if original != name:
            yield PREFIX, groups.by_name.get(original, ())
        yield PREFIX, groups.by_original.get(name, ())
        if _is_number(name):
            yield NUMBER, groups.by_number.get(str(int(name)), ())

    def _is_elsewhere(self, path: str, split: Split | None, folders: Sequence[str]) -> bool:
        there = self._groups.split_folder(path)
        return there is not None and there.split is not split and there.name.casefold() not in folders

    def _best(
        self,
        candidates: Sequence[str],
        parts: list[str],
        folder: str,
        how: str,
        split: Split | None,
        row: Collection[str],
    ) -> Found:
        """The one that agrees with the most folders, if there is one."""
        folders = [part.casefold() for part in parts[:-1]]
        scored = [
            (self._agreeing(path, folders), self._is_of(path, split), path.startswith(folder), path)
            for path in candidates
        ]
        best = max(score[:-1] for score in scored)
        first = [score[-1] for score in scored if score[:-1] == best]
        if len(first) > 1 and how in (ENDING, STEM):  # letter case may decide, and so may the suffix
            same = [path for path in first if name_of(path) == parts[-1] or stem_of(path) == parts[-1]]
            first = same or first
        if len(first) > 1 and row:
            told = {cell.casefold() for cell in row}
            beside = [path for path in first if told.intersection(path.casefold().split("/")[:-1])]
            first, how = (beside, COLUMN) if len(beside) == 1 else (first, how)
        if len(first) > 1 and self._any_split and self._of_different_splits(first):
            first = first[:1]
        if len(first) != 1:
            return Found(None, SEVERAL, anchored=False, there=self._given(first))
        (path,) = first
        theirs = path.removeprefix(self._groups.root).split("/")[:-1]
        anchored = best[0] >= 1 or not folders or not theirs
        if how is ENDING and name_of(path) != parts[-1]:
            how = CASE
        return Found(self._groups.exact[path], how, anchored)

    def _is_of(self, path: str, split: Split | None) -> bool:
        there = self._groups.split_folder(path)
        return split is not None and there is not None and there.split is split

    def _of_different_splits(self, paths: Sequence[str]) -> bool:
        splits = {there.split for path in paths if (there := self._groups.split_folder(path)) is not None}
        return len(splits) == len(paths)

    def _given(self, paths: Sequence[str]) -> Sequence[str]:
        return [self._groups.exact[path] for path in paths]

    def _agreeing(self, path: str, folders: list[str]) -> int:
        theirs = path.casefold().split("/")[:-1]
        count = 0
        for one, other in zip(reversed(theirs), reversed(folders), strict=False):
            if one != other:
                break
            count += 1
        return count

    def told(self, cell: str, found: Found) -> str:
        """What to say, behind the cell, of one that means no file, or more than one."""
        files = ", ".join(repr(path[:_MOST_COMPARED]) for path in found.there[:_MOST_THERE])
        more = ", …" if len(found.there) > _MOST_THERE else ""
        if found.how == SEVERAL:
            return f" is there {len(found.there):,} times: {files}{more}"
        if found.how == ELSEWHERE:
            return f" is only in the folder of another split: {files}{more}"
        near = self.nearest(cell)
        return "" if near is None else f" (nearest: {near[:120]!r})"

    def nearest(self, cell: str) -> str | None:
        """A file whose name looks like that, to be named in a message; only for the first few that are asked for."""
        if cell not in self._nearest and len(self._nearest) < _MOST_NEAREST:
            parts = parts_of(cell[:_MOST_COMPARED])
            some = list(self._groups.by_name)[:_COMPARED]
            close = get_close_matches(parts[-1].casefold(), some, n=1, cutoff=0.6) if parts else []
            self._nearest[cell] = self._groups.by_name[close[0]][0] if close else None
        return self._nearest.get(cell)


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
