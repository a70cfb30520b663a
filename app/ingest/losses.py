"""What was lost on the way, which a person must hear first: classes without a usable image, empty class folders, hidden
folders."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping

from app.domain.dataset import Reason
from app.domain.placement import Placement
from app.ingest.listed import Listed
from app.reading.listing import folder_of, name_of, suffix_of
from app.reading.reading import Reading, named
from app.reading.words import MASKS, ROLES, STRAYS, folded, is_unlabelled, split_of

_NO_PICTURES = re.compile(r"but (text|an? (JSON|XML|program|pickle|spreadsheet|parquet|arrow|SQLite))")
"""Kinds of files that a class is hardly made of: a folder of them is as likely one of notes or programs."""

_BESIDE_CLASSES = frozenset(
    {".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".yaml", ".yml", ".md", ".log", ".py", ".ipynb"}
    | {".pt", ".pth", ".h5", ".hdf5"}
)
"""Files of lists, results and programs: a folder that holds nothing else, `splits` or `results`, is no lost class."""


def loss_warnings(
    listed: Listed, reading: Reading, placed: Mapping[str, Placement], skipped: Mapping[str, Reason]
) -> list[str]:
    """The gravest first.

    Args:
        listed: what is in the archive.
        reading: how it was read.
        placed: the usable images.
        skipped: reasons, by path.
    """
    return [
        *_lost_classes(reading, placed, skipped),
        *_folders_without_image(listed, reading, placed, skipped),
        *_hidden(listed),
        *_empty_folders(listed, reading),
    ]


def rejection_notes(listed: Listed) -> list[str]:
    """What may be missing in an archive that is rejected since it has too few classes."""
    parents = {folder_of(folder_of(path).rstrip("/")) for path in listed.listing.images}
    bare = _bare_folders(listed, parents)
    kinds = {folder: _kinds(paths, listed.skipped) for folder, paths in bare.items()}
    return [
        *(_bare(folder, kinds[folder]) for folder in list(bare)[:5] if not _NO_PICTURES.search(_usual(kinds[folder]))),
        *_hidden(listed),
    ]


def _lost_classes(reading: Reading, placed: Mapping[str, Placement], skipped: Mapping[str, Reason]) -> Iterator[str]:
    kept = Counter(p.label for p in placed.values())
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for path, placement in reading.placements.items():
        if placement.label is not None and path in skipped:
            reasons[placement.label][skipped[path].kind] += 1
    lost = [name for name in reading.classes if not kept[name]]
    for name in lost[:5]:
        kind, count = reasons[name].most_common(1)[0] if reasons[name] else ("no image", 0)
        yield (
            f"The class {name!r} is lost: none of its {reading.counts[name]:,} files is a usable image. "
            f"{count:,} of them: {kind}."
        )
    if len(lost) > 5:
        yield f"Lost in the same way: {named(lost[5:], 10)}."
    halved = [n for n in reading.classes if 0 < kept[n] < 0.5 * reading.counts[n] and reading.counts[n] > 3]
    for name in halved[:5]:
        kind, _ = reasons[name].most_common(1)[0] if reasons[name] else ("no image", 0)
        lost_files = reading.counts[name] - kept[name]
        yield f"The class {name!r} has lost {lost_files:,} of its {reading.counts[name]:,} files: {kind}."


def _folders_without_image(
    listed: Listed, reading: Reading, placed: Mapping[str, Placement], skipped: Mapping[str, Reason]
) -> Iterator[str]:
    """Those among the class folders that hold files, and not one that is called or begins like an image: no reading
    knows them."""
    if not reading.id.startswith("folders"):
        return
    kept = {p.label for p in placed.values()}
    lost: dict[str, Counter[str]] = {}
    doubtful: list[str] = []
    for folder, paths in _bare_folders(listed, _class_parents(reading)).items():
        name, kinds = name_of(folder.rstrip("/")), _kinds(paths, skipped)
        if name in kept or _NO_PICTURES.search(_usual(kinds)):
            doubtful.append(_bare(folder, kinds))
        else:
            lost[name] = lost.get(name, Counter()) + kinds
    for name, kinds in list(lost.items())[:5]:
        yield (
            f"The class {name!r} is lost: none of its {kinds.total():,} files is a usable image. "
            f"{kinds[_usual(kinds)]:,} of them: {_usual(kinds)}."
        )
    if len(lost) > 5:
        yield f"Lost in the same way: {named(list(lost)[5:], 10)}."
    yield from doubtful[:5]


def _class_parents(reading: Reading) -> set[str]:
    """Folders in which class folders stand: two or more that hold images of one class each, and of different ones."""
    labels: dict[str, set[str]] = defaultdict(set)
    for folder, label in {(folder_of(path), p.label) for path, p in reading.placements.items()}:
        if label is not None:
            for above in _with_those_above(folder):
                labels[above].add(label)
    beside: dict[str, set[str]] = defaultdict(set)
    for folder, found in labels.items():
        if len(found) == 1:
            beside[folder_of(folder.rstrip("/"))] |= found
    return {parent for parent, found in beside.items() if len(found) > 1}


def _bare_folders(listed: Listed, parents: Collection[str]) -> dict[str, list[str]]:
    """Folders that hold files and no image, directly in one of `parents`, unless their names or their files say that
    they are no classes; with their files."""
    with_images = {
        above for folder in set(map(folder_of, listed.listing.images)) for above in _with_those_above(folder)
    }
    images = frozenset(listed.listing.images)
    bare: dict[str, list[str]] = defaultdict(list)
    for entry in listed.entries:
        if entry.path not in images:
            for folder in _with_those_above(folder_of(entry.path)):
                if folder not in with_images and folder_of(folder.rstrip("/")) in parents:
                    bare[folder].append(entry.path)
    return {
        folder: paths
        for folder, paths in sorted(bare.items())
        if _may_be_class(name_of(folder.rstrip("/"))) and any(suffix_of(path) not in _BESIDE_CLASSES for path in paths)
    }


def _with_those_above(folder: str) -> Iterator[str]:
    while folder:
        yield folder
        folder = folder_of(folder.rstrip("/"))


def _may_be_class(name: str) -> bool:
    return split_of(name) is None and not is_unlabelled(name) and folded(name) not in ROLES | MASKS | STRAYS


def _kinds(paths: Collection[str], skipped: Mapping[str, Reason]) -> Counter[str]:
    return Counter(skipped[path].kind if path in skipped else "not an image but text" for path in paths)


def _usual(kinds: Counter[str]) -> str:
    return kinds.most_common(1)[0][0]


def _bare(folder: str, kinds: Counter[str]) -> str:
    return (
        f"The folder {folder.rstrip('/')!r} holds no image: {kinds[_usual(kinds)]:,} of its {kinds.total():,} files: "
        f"{_usual(kinds)}. If it is a class, its images are missing."
    )


def _hidden(listed: Listed) -> Iterator[str]:
    for folder, paths in sorted(listed.hidden.items())[:5]:
        yield (
            f"The hidden folder {folder!r} was left out with its {len(paths):,} images: names that begin with a "
            "dot are hidden. If it is a class, rename it."
        )
    if len(listed.hidden) > 5:
        yield f"{len(listed.hidden) - 5} more hidden folders hold images and were left out."


def _empty_folders(listed: Listed, reading: Reading) -> Iterator[str]:
    """Those that stand where the class folders stand; elsewhere they mean nothing."""
    if not reading.id.startswith("folders"):
        return
    beside = {folder_of(folder_of(path).rstrip("/")) for path, p in reading.placements.items() if p.label is not None}
    empty = [
        folder
        for folder in listed.listing.empty_folders
        if folder_of(folder) in beside and _may_be_class(name_of(folder))
    ]
    if empty:
        yield f"Class folders without a file: {named(map(name_of, empty), 10)}. They are no classes of this data set."
