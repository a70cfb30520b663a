"""Classes that stand in the names of the files: `cat.0.jpg` and `dog.0.jpg`.

A name says less than a folder: `IMG_1.jpg` and `DSC_1.jpg` are two cameras. So a data set is only read by them where
nothing else tells classes, and a person has to say that it is meant so. Where folders have told the classes, a name
that begins with one of them is no guess: `test/bart_simpson_0.jpg` beside `train/bart_simpson/`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from app.domain.dataset import Reason, Split
from app.domain.placement import Placement
from app.reading.context import Context
from app.reading.listing import folder_of, name_of, stem_of
from app.reading.paths.split_folders import split_folders
from app.reading.reading import Reading, Strength, agree, named, quoted
from app.reading.unwrapping import NO_CLASS, Row, Tree, unwrapped, without_masks
from app.reading.words import beside_split, folded, is_unlabelled, near_split, split_of

ID = "names"
"""Of the reading by all words of a name; `names:first`, … go by one of its parts."""
MOST_CLASSES = 1_000
LEAST_EACH = 3
"""Images in a class, on average: names that all differ tell none."""
_PLACES = {"first": 0, "second": 1, "third": 2, "last": -1}
_MOST_DIGITS = 4
"""Of a number that may be a class; longer ones are dates and times."""
_LEAST_NAMED = 0.9
"""Share of the images of a folder whose names must tell a class; test images are often numbered."""
_MOST_FOLDERS = 8
"""Of val or test images without class folders."""
_UNTOLD = Reason("has no class in its name")
_HELD_OUT = (Split.VAL, Split.TEST)
_SAYS_NOTHING = frozenset(
    (
        *("img", "image", "images", "dsc", "dscn", "dscf", "pxl", "pic", "picture", "photo", "foto", "bild", "imagen"),
        *("whatsapp", "wa", "mvimg", "dji", "gopr", "screenshot", "screen", "shot", "capture", "scan", "frame", "vid"),
        *("video", "snapshot", "untitled", "unnamed", "download", "file", "copy", "kopie", "at", "pm", "am", "edited"),
        *("jpg", "jpeg", "png", "cropped", "crop", "resized"),
    )
)
"""Words that cameras, telephones and programs put into names."""

_PIECE = re.compile(r"[^\W\d_]+|\d+")
"""A word or a number: `Apple_Pie12` is apple, pie, 12."""
Part = tuple[str, str]
"""What is compared, and how it is written."""


def file_name_readings(context: Context) -> list[Reading]:
    """The likeliest first; none where the names tell no classes."""
    folders = {path: tuple(path.split("/")[:-1]) for path in context.listing.images}
    unlabelled = {
        path
        for path, parts in folders.items()
        if any(is_unlabelled(part, context.unlabelled_classes) for part in parts)
    }
    rows = [Row(path, None, parts) for path, parts in folders.items() if path not in unlabelled]
    tree = unwrapped(without_masks(Tree(rows, {}, 0)))
    paths = [row.path for row in tree.rows]
    found: list[Reading] = []
    for id, source, parts in _grammars(paths):
        reading = _reading(context, tree, id, source, parts)
        if reading is not None and not any(agree(reading, one) for one in found):
            found.append(reading)
    without = dict.fromkeys(unlabelled, Placement(Split.UNLABELLED, None))
    return [replace(reading, placements={**reading.placements, **without}) for reading in found]


def _grammars(paths: Sequence[str]) -> Iterator[tuple[str, str, Mapping[str, Part]]]:
    stems = {path: stem_of(path) for path in paths}
    whole = words_that_tell(paths)
    yield ID, "the words in the names of the files", whole
    numbers_count = any(re.search(r"[^\W\d_]", stem) for stem in stems.values())  # else `3_0012` may be a three
    pieces = {path: re.findall(r"[^\W_]+", stem) for path, stem in stems.items()}
    for place, index in _PLACES.items():
        several = {path: every[index] for path, every in pieces.items() if len(every) > max(1, index)}
        parts = {path: (folded(one), one) for path, one in several.items() if _may_tell(one, numbers_count)}
        yield f"{ID}:{place}", f"the {place} part of the names of the files", parts


def _may_tell(part: str, numbers_count: bool) -> bool:
    if part.isdecimal():
        return not numbers_count and len(part) <= _MOST_DIGITS
    return folded(part) not in _SAYS_NOTHING


def words_that_tell(paths: Sequence[str]) -> Mapping[str, Part]:
    """By path: the words in its name that are not those of all names. They may tell classes or not."""
    stems = {path: stem_of(path) for path in paths}
    whole = _words(stems, lambda word: word)
    return whole if _tells(whole.values()) else _words(stems, lambda word: word.rstrip("0123456789"))  # `cat12`


def _words(stems: Mapping[str, str], short: Callable[[str], str]) -> Mapping[str, Part]:
    """What distinguishes the names beside numbers, and beside the words that all of them have."""
    found: dict[str, list[tuple[int, str, str]]] = {}  # where a word begins, as it is written, as it is compared
    for path, stem in stems.items():
        pieces = (piece for piece in re.finditer(r"[^\W_]+", stem) if re.search(r"[^\W\d]", piece[0]))
        words = [(piece.start(), word := short(piece[0]), folded(word)) for piece in pieces]
        found[path] = [one for one in words if one[2] not in _SAYS_NOTHING]
    usual = Counter(word for words in found.values() for word in {compared for _, _, compared in words})
    everywhere = {word for word, count in usual.items() if count == len(stems)}
    told: dict[str, Part] = {}
    for path, words in found.items():
        kept = [one for one in words if one[2] not in everywhere]
        if kept:
            (start, *_), (last, written, _) = kept[0], kept[-1]
            whole = stems[path][start : last + len(written)]
            between = len(re.findall(r"[^\W_]+", whole)) - len(kept)
            told[path] = " ".join(one[2] for one in kept), "_".join(one[1] for one in kept) if between else whole
    return told


def _tells(parts: Iterable[Part]) -> bool:
    counts = Counter(key for key, _ in parts)
    return 2 <= len(counts) <= MOST_CLASSES and counts.total() >= LEAST_EACH * len(counts)


def _reading(context: Context, tree: Tree, id: str, source: str, parts: Mapping[str, Part]) -> Reading | None:
    by_folder: dict[str, list[str]] = defaultdict(list)
    for row in tree.rows:
        by_folder[folder_of(row.path)].append(row.path)
    told = {
        folder
        for folder, paths in by_folder.items()
        if sum(path in parts for path in paths) >= _LEAST_NAMED * len(paths)
    }
    read = {path: parts[path] for folder in told for path in by_folder[folder] if path in parts}
    if not _tells(read.values()):
        return None
    spelt: dict[str, str] = {}
    for key, written in read.values():
        spelt.setdefault(key, written)
    if any(near_split(name) is not None for name in spelt.values()):  # `train_1.jpg`
        return None
    folders = split_folders(by_folder, context.listing.root)
    kept: dict[tuple[Split, str], Placement] = {}
    placed: dict[str, Placement] = {}
    for path, (key, _) in read.items():
        inside = folders.get(folder_of(path))
        place = (Split.TRAIN if inside is None else inside.split, spelt[key])
        placed[path] = kept.setdefault(place, Placement(*place))
    used = sorted({folders[folder].name for folder in told if folder in folders})
    shown = {spelt[key]: name_of(path) for path, (key, _) in reversed(read.items())}
    return Reading(
        id=id,
        source=source,
        placements=placed,
        strength=Strength.WEAK,
        splits=named(used) if used else None,
        skipped=tree.skipped | {row.path: _UNTOLD for row in tree.rows if row.path not in placed},
        evidence=[
            f"{len(placed):,} of {len(context.listing.images):,} images have a class in their name: "
            + ", ".join(f"{quoted(file)} is {quoted(label)}" for label, file in sorted(shown.items())[:3])
            + "."
        ],
        warnings=tree.warnings,
    )


def with_named_files(reading: Reading, context: Context) -> Reading:
    """With the val or test images that lie in no folder of a class, where each is called like a class of the others.

    They may have been left out, or, lying in a folder of their own, have been taken for a class.
    """
    if not reading.id.startswith("folders") or reading.taught < 2:
        return reading
    labelled: dict[str, list[str]] = defaultdict(list)
    for path, place in reading.placements.items():
        if place.label is not None:
            labelled[place.label].append(path)
    flat: dict[str, list[str]] = defaultdict(list)
    for path, why in reading.skipped.items():
        if why is NO_CLASS:
            flat[folder_of(path)].append(path)
    for label, paths in labelled.items():
        folders = {folder_of(path) for path in paths}
        if len(folders) == 1 and folded(label) == folded(name_of(next(iter(folders))[:-1])):
            flat[folders.pop()] += paths
    held_out = [(folder, split) for folder in sorted(flat) if (split := _held_out(folder, context)) is not None]
    for folder, split in held_out if len(held_out) <= _MOST_FOLDERS else ():
        reading = _with_flat(reading, folder, split, flat[folder])
    return reading


def _with_flat(reading: Reading, folder: str, split: Split, paths: Sequence[str]) -> Reading:
    inside = set(paths)
    others = {p.label for path, p in reading.placements.items() if path not in inside and p.label is not None}
    if any(p.split is split for path, p in reading.placements.items() if path not in inside):
        return reading
    calls = _calls(others)
    labels = {path: label for path in paths if (label := calls(stem_of(path))) is not None}
    if len(labels) < len(paths) or len(set(labels.values())) < 2:
        return reading
    kept: dict[str, Placement] = {}
    placed = {path: kept.setdefault(label, Placement(split, label)) for path, label in labels.items()}
    name = name_of(folder.rstrip("/"))
    example = min(paths)
    return replace(
        reading,
        source=f"{reading.source}; those of {quoted(name)} from the names of its files",
        placements={**reading.placements, **placed},
        strength=Strength.EXPLICIT,
        splits=reading.splits or quoted(name),
        skipped={path: why for path, why in reading.skipped.items() if path not in labels},
        evidence=[
            *reading.evidence,
            f"{len(labels):,} images of {quoted(name)} are called like classes: {quoted(name_of(example))} is "
            f"{quoted(labels[example])}.",
        ],
        warnings=[one for one in reading.warnings if quoted(name) not in one],
    )


def _held_out(folder: str, context: Context) -> Split | None:
    """Val or test, by the nearest of its folders that says so, also beside other words: `kaggle_simpson_testset`."""
    for part in reversed(folder.removeprefix(context.listing.root).split("/")[:-1]):
        split = split_of(part) or (near_split(part) if beside_split(part) else None)
        if split is not None:
            return split if split in _HELD_OUT else None
    return None


def _calls(labels: set[str]) -> Callable[[str], str | None]:
    """Tells which class a name begins with; the longest of several.

    A class that is a number is none of them, since test images are numbered. What follows must be apart, or a number:
    `a3f09c` is no `a`.
    """
    pieces = {label: [match[0] for match in _PIECE.finditer(folded(label))] for label in labels}
    known = {tuple(every): label for label, every in pieces.items() if not "".join(every).isdecimal()}
    longest = max(map(len, known), default=0)

    def find(stem: str) -> str | None:
        name = folded(stem)
        found = list(_PIECE.finditer(name))[:longest]
        for count in range(len(found), 0, -1):
            key = tuple(match[0] for match in found[:count])
            if key in known and re.fullmatch(r"([\W_].*|\d*)", name[found[count - 1].end() :]):
                return known[key]
        return None

    return find
