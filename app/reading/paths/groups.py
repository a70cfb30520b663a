"""The images by what may stand for them, each grouping made when it is first asked for."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import cached_property

from app.domain.dataset import Split
from app.reading.listing import common_folder, folder_of, name_of, stem_of
from app.reading.paths.asides import asides
from app.reading.paths.split_folders import SplitFolder, split_folders

_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""Label Studio puts it before the name of an uploaded file."""
_Groups = dict[str, tuple[str, ...]]


class PathGroups:
    """Paths in NFC, without case where they are keys."""

    def __init__(self, paths: Collection[str]) -> None:
        self.exact = {path if path.isascii() else unicodedata.normalize("NFC", path): path for path in paths}
        """As it is in the archive, by the one in NFC."""
        self.root = common_folder(self.exact)

    def split_folder(self, path: str) -> SplitFolder | None:
        """The folder called like a split that an image lies in."""
        return self._split_folders.get(folder_of(path))

    @cached_property
    def splits(self) -> frozenset[Split]:
        """Those that have a folder."""
        return frozenset(there.split for there in self._split_folders.values())

    @cached_property
    def names_recur(self) -> bool:
        """Whether a name alone does not tell the image: some are in folders of several splits, or most are numbers, or
        one word and a number, which is counted from 1 wherever somebody counts."""
        counted = sum(map(len, self.by_number.values()))
        return counted > len(self.exact) / 2 or any(
            len({there.split for path in paths if (there := self.split_folder(path)) is not None}) > 1
            for paths in self.by_stem.values()
            if len(paths) > 1
        )

    @cached_property
    def _split_folders(self) -> dict[str, SplitFolder]:
        return split_folders({folder_of(path) for path in self.exact}, self.root)

    @cached_property
    def asides(self) -> dict[str, str]:
        """See `asides`."""
        return asides(self.exact)

    @cached_property
    def by_name(self) -> _Groups:
        return _grouped((name_of(path).casefold(), path) for path in self.exact)

    @cached_property
    def by_stem(self) -> _Groups:
        return _grouped((stem_of(path).casefold(), path) for path in self.exact)

    @cached_property
    def by_original(self) -> _Groups:
        """By the name before a labelling tool put its prefix there."""
        return _grouped(
            (without_upload_prefix(name), path)
            for path in self.exact
            if _UPLOAD_PREFIX.match(name := name_of(path).casefold())
        )

    @cached_property
    def by_number(self) -> _Groups:
        """By the digits that end a name, where all names are alike before them."""
        found: list[tuple[str, str]] = []
        before: set[str] = set()
        for path in self.exact:
            if path in self.asides:
                continue
            stem = stem_of(path)
            digits = re.search(r"[0-9]{1,18}$", stem)
            if digits is None:
                continue
            before.add(stem[: digits.start()].casefold())
            found.append((str(int(digits[0])), path))
        return _grouped(found) if len(before) == 1 else {}


def without_upload_prefix(name: str) -> str:
    return _UPLOAD_PREFIX.sub("", name)


def _grouped(pairs: Iterable[tuple[str, str]]) -> _Groups:
    found: dict[str, list[str]] = defaultdict(list)
    for key, path in pairs:
        found[key].append(path)
    return {key: tuple(paths) for key, paths in found.items()}
