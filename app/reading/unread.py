"""Files that look like labels of the images and from which nothing was read: who sent them believes that they were."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

from app.reading.context import Context
from app.reading.listing import TEXT_SUFFIXES, has_image_name, name_of, stem_of, suffix_of
from app.reading.reading import quoted
from app.reading.words import folded

_NOT_UNDERSTOOD = "but nothing in {} that is understood here tells a class."
_HEAD, _ALL_HEADS = 2**18, 2**24
"""Bytes of a file that are looked at, and of all files."""
_MANY = 1_000
_SHORT = 3
"""Characters of a name without its suffix up to which any number may be meant by it."""
_FEW = 3
"""Files up to which each is named."""
_WORD = re.compile(r"[^\s\"'`,;:|<>()\[\]{}=]+")
_ADDRESS = re.compile(r"https?://\S+")
_LABEL_NAMES = frozenset(
    {"label", "labels", "annotation", "annotations", "class", "classes", "target", "targets", "gt"}
)


class Unread(NamedTuple):
    """Files, and why they tell no class."""

    files: Collection[str]
    told: str


def unread(context: Context, known: Collection[str], least: float = 0.5) -> Iterator[Unread]:
    """Those that are called like images first, then those that name some. Of many files of which the same is said, it
    is said once.

    Args:
        context: the archive.
        known: files of which something is said already.
        least: share of the images that a file must name; of many images, of the first thousand.
    """
    enough = max(2, least * min(len(context.listing.images), _MANY))
    alike, told_of = _called_alike(context, known), frozenset(known)
    for files in alike:
        if len(files) >= enough:
            told_of |= frozenset(files)
            first = f"{quoted(files[0])} and {len(files) - 1:,} more files"
            yield Unread(files, f"{first}: they are called like images, {_NOT_UNDERSTOOD.format('them')}")
    for reason, files in _by_reason(context, told_of - frozenset(known)).items():
        if len(files) > _FEW:
            yield Unread(files, f"{quoted(files[0])}, like {len(files) - 1:,} more files: {reason}.")
    told_of |= context.ignored.keys() | context.listed_splits.keys()
    heads = _heads(context, told_of)
    for file, count in _naming(context, heads).items():
        if count >= enough:
            more = " or more" if len(context.listing.texts[file]) > _HEAD else ""
            yield Unread([file], f"{quoted(file)}: it names {count:,} images{more}, {_NOT_UNDERSTOOD.format('it')}")
    for file, head in heads.items() if not context.listing.images else ():
        if len(_ADDRESS.findall(head)) > 0.5 * len(head.splitlines()):
            yield Unread([file], f"{quoted(file)}: it lists addresses; download what is there and pack that.")
    for file, kind in context.listing.others.items():
        if kind == "text" and suffix_of(file) not in TEXT_SUFFIXES and folded(stem_of(file)) in _LABEL_NAMES:
            told = f"{quoted(file)}: its name is not that of a table; call it `{stem_of(file)}.csv` if it is one."
            yield Unread([file], told)


def _by_reason(context: Context, told: Collection[str]) -> dict[str, list[str]]:
    """Files that were ignored."""
    found: dict[str, list[str]] = defaultdict(list)
    for file, reason in sorted(context.ignored.items()):
        if file not in told:
            found[reason].append(file)
    return found


def _called_alike(context: Context, known: Collection[str]) -> list[list[str]]:
    """Files beside or below the images, of one suffix each list: `labels/1.json` for `images/1.jpg`."""
    files: dict[str, list[str]] = defaultdict(list)
    for file in context.shallow:
        if file not in known:
            files[_image_stem(file)].append(file)
    found = {file for path in context.listing.images for file in files.get(_key(stem_of(path)), ())} if files else set()
    return [list(some) for _, some in groupby(sorted(found, key=lambda f: (suffix_of(f), f)), key=suffix_of)]


def _heads(context: Context, known: Collection[str]) -> dict[str, str]:
    heads: dict[str, str] = {}
    left = _ALL_HEADS
    for file in context.shallow:
        if file not in known and left > 0:
            heads[file] = context.listing.texts[file][:_HEAD].decode(errors="replace")
            left -= len(heads[file])
    return heads


def _naming(context: Context, heads: Mapping[str, str]) -> dict[str, int]:
    """How many images each of the texts names. The words of the texts are held, not the names of the images: there
    may be a million of these."""
    files: dict[str, set[str]] = defaultdict(set)
    for file, head in heads.items():
        for word in _WORD.findall(head):
            files[_key(word.replace("\\", "/").rpartition("/")[2])].add(file)
    counts = dict.fromkeys(heads, 0)
    for path in context.listing.images if files else ():
        stem = stem_of(path)
        said = files.get(_key(stem), set()) if len(stem) > _SHORT else set()
        for file in files.get(_key(name_of(path)), set()) | said:
            counts[file] += 1
    return counts


def _key(name: str) -> str:
    """The last word: spaces may stand inside a name, and between cells."""
    return folded(name).rpartition(" ")[2]


def _image_stem(file: str) -> str:
    """Of `1.json`, and of `1.jpg.json`."""
    stem = stem_of(file)
    return _key(stem_of(stem) if has_image_name(stem) else stem)
