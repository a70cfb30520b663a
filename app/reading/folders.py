"""Classes and splits from folders."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

from app.domain.dataset import Reason, Split
from app.domain.placement import Placement
from app.reading.listing import Listing
from app.reading.reading import Reading, Strength, agree, named, quoted
from app.reading.unwrapping import NO_CLASS, Row, Tree, subfolders, unwrapped, without_copies, without_masks
from app.reading.words import (
    MASKS,
    ROLES,
    are_parts,
    beside_split,
    folded,
    is_unlabelled,
    near_split,
    split_of,
    splits_of,
    words_of,
)

_MOST_SPLITS = 8
"""Folders of splits side by side, some of them in parts; an archive may have ten thousand folders of classes."""
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh")


def folder_readings(listing: Listing, unlabelled_classes: Collection[str] = ()) -> list[Reading]:
    """The likeliest first."""
    unlabelled = {p for p in listing.images if any(is_unlabelled(f, unlabelled_classes) for f in p.split("/")[:-1])}
    placed = dict.fromkeys(unlabelled, Placement(Split.UNLABELLED, None))
    rows = [Row(path, None, tuple(path.split("/")[:-1])) for path in listing.images if path not in unlabelled]
    tree = without_copies(unwrapped(without_masks(Tree(rows, {}, 0))))
    found = [reading for split_tree in _with_splits(tree) for reading in _levels(split_tree, placed)]
    called = {part for path in unlabelled for part in path.split("/")[:-1] if is_unlabelled(part)}
    return [replace(reading, warnings=(*reading.warnings, *_of_labels(reading, called))) for reading in found]


def _of_labels(reading: Reading, called: Collection[str]) -> Iterator[str]:
    """Where labels are what the pictures show, on bottles for example, having none may be a class."""
    if called and any("label" in folded(name) for name in reading.classes):
        yield (
            f"Images in {named(sorted(called), 3)} were taken for images without a label. If that is a class, such as "
            "a bottle that has none, call it otherwise."
        )


def _with_splits(tree: Tree) -> Iterator[Tree]:
    """The tree with its splits told; twice where it may also have none."""
    tops = {row.parts[0] for row in tree.rows if row.parts}
    found = splits_of(tops)
    found |= _called_without_split(tree, found.keys())
    if Split.TRAIN not in found.values():  # `dev board` and `test board` are no splits of one set
        found = {name: split for name, split in found.items() if not beside_split(name)}
    classes = {beside_split(name) for name in found}
    if len(found) == len(tops) and len(classes - {()}) > 1:  # `cats_train`, `cats_test`, `dogs_train`, …
        rows = [
            replace(row, split=found[row.parts[0]], parts=(" ".join(beside_split(row.parts[0])), *row.parts[1:]))
            if row.parts and beside_split(row.parts[0])
            else row
            for row in tree.rows
        ]
        yield replace(tree, rows=rows, splits=found)
        return
    alike = False
    if found:
        tree, found, alike = _more_splits(tree, found)
    holds_folders = any(len(row.parts) > 1 for row in tree.rows if row.parts and row.parts[0] in found)
    if found and (holds_folders or len(found) == len(tops)):
        yield _split_above(tree, found)
        if len(found) < len(tops):
            yield replace(tree, sure=alike and len(set(found.values())) == 1, split_apart=False)
        return
    if found and len(tops) > len(found) + 1 and all(split in (Split.VAL, Split.TEST) for split in found.values()):
        yield _without(tree, found)
        yield replace(tree, split_apart=False)
        return
    yield _split_inside(tree) or tree


def _without(tree: Tree, held_out: Collection[str]) -> Tree:
    """`cats`, `dogs`, and pictures in `test` that nobody has sorted; though it may be a class that is called so."""
    out = [row for row in tree.rows if row.parts and row.parts[0] in held_out]
    told = f"{len(out):,} images of {named(sorted(held_out))} are left out: they lie in no class folder."
    return replace(
        tree,
        rows=[row for row in tree.rows if not row.parts or row.parts[0] not in held_out],
        skipped=tree.skipped | {row.path: NO_CLASS for row in out},
        warnings=(*tree.warnings, told),
    )


def _called_without_split(tree: Tree, found: Collection[str]) -> dict[str, Split]:
    """`rps` beside `rps-test-set` and `rps-validation`, `images` beside `test`: the train folder is often called like
    the whole, or like nothing, and holds the same classes as one of the others, or is the only one that holds any."""
    tops = {row.parts[0] for row in tree.rows if row.parts}
    if not 1 < len(tops) <= _MOST_SPLITS:
        return {}
    inner: dict[str, set[str]] = defaultdict(set)
    for row in tree.rows:
        if len(row.parts) > 1:
            inner[row.parts[0]].add(row.parts[-1])
    for whole in sorted(tops - set(found)):
        words, rest = words_of(whole), tops - {whole}
        others = {top: near_split(top) for top in rest if beside_split(top) == words}
        if not (len(others) == len(rest) and any(len(inner[whole] & inner[top]) > 1 for top in others)):
            others = {top: near_split(top) for top in rest if beside_split(top) in (words, ()) and not inner[top]}
        if len(others) == len(rest) and len(inner[whole]) > 1:
            told = {top: split for top, split in others.items() if split in (Split.VAL, Split.TEST)}
            return {whole: Split.TRAIN} | told if len(told) == len(others) else {}
    return {}


def _split_inside(tree: Tree) -> Tree | None:
    """Each class with its own folders of splits; a few images may stand beside them."""
    inside = {row.parts[1] for row in tree.rows if len(row.parts) > 1}
    below = splits_of(inside)
    flat = [row for row in tree.rows if len(row.parts) == 1]
    if not inside or len(below) < len(inside) or len(flat) > len(tree.rows) / 2:
        return None
    rows = [
        Row(row.path, below[row.parts[1]], (row.parts[0], *row.parts[2:])) if len(row.parts) > 1 else row
        for row in tree.rows
    ]
    told = tree.warnings
    if flat:
        of = named(sorted({row.parts[0] for row in flat}), 3)
        told = (
            *told,
            f"{len(flat):,} images of {of} lie beside the folders of the splits; they are used for training.",
        )
    return replace(tree, rows=rows, splits=below, inside=True, warnings=told)


def _more_splits(tree: Tree, found: dict[str, Split]) -> tuple[Tree, dict[str, Split], bool]:
    """Also those whose names are nearly a split's, `vaild` or `train_part1`, where they hold the same folders; and
    whether others do so, whose names are none: then these may all be classes."""
    below = subfolders(tree.rows)
    of_splits = set[str]().union(*(below[top] for top in found))
    more: dict[str, Split] = {}
    told: list[str] = []
    alike = False
    for top in sorted(below.keys() - found.keys()):
        if not below[top] & of_splits or len(below[top] & of_splits) < 0.5 * len(below[top]):
            continue
        split = near_split(top)
        if split is not None:
            more[top] = split
            told.append(f"{quoted(top)} was taken for a part of {split}: it holds the same folders as its neighbours.")
        else:
            alike = True
            count = sum(row.parts[:1] == (top,) for row in tree.rows)
            told.append(
                f"{quoted(top)} holds the same folders as {named(sorted(found), 3)}, and its name is no split's. If "
                f"its {count:,} images belong to one, rename it."
            )
    return replace(tree, warnings=(*tree.warnings, *told)), found | more, alike


def _split_above(tree: Tree, found: dict[str, Split]) -> Tree:
    by_top: dict[str, list[Row]] = defaultdict(list)
    skipped = dict(tree.skipped)
    rows: list[Row] = []
    for row in tree.rows:
        if row.parts and row.parts[0] in found:
            by_top[row.parts[0]].append(Row(row.path, found[row.parts[0]], row.parts[1:]))
        elif Split.TRAIN in found.values():
            skipped[row.path] = Reason("stands beside the train folder, not in one of its classes")
        else:
            rows.append(Row(row.path, Split.TRAIN, row.parts))
    only = {top: _only_folder(some) for top, some in by_top.items()}
    inside = {top: {folded(row.parts[0]) for row in some if row.parts} for top, some in by_top.items()}
    depths = {0} if rows else set()
    for top, some in by_top.items():
        below = 1
        wrapper = only[top]
        while wrapper is not None and (
            split_of(wrapper) is not None
            # where a neighbour has it among others, it is one of the classes
            or (folded(wrapper) in ROLES and not any(len(i) > 1 and folded(wrapper) in i for i in inside.values()))
            or folded(wrapper) == folded(top)
            or (len(only) > 1 and len(set(only.values())) == 1 and any(len(row.parts) > 1 for row in some))
        ):
            some = [Row(row.path, row.split, row.parts[1:]) for row in some if row.parts]  # noqa: PLW2901
            below += 1
            wrapper = _only_folder(some)
        kept = {row.path for row in some}
        skipped.update({row.path: NO_CLASS for row in by_top[top] if row.path not in kept})
        depths.add(below)
        rows.extend(some)
    depth = tree.depth + depths.pop() if len(depths) == 1 else -1
    return replace(tree, rows=rows, skipped=skipped, depth=depth, splits=found)


def _only_folder(rows: Sequence[Row]) -> str | None:
    """The one folder that all of these images lie in, as far as they lie in any."""
    tops = {row.parts[0] for row in rows if row.parts}
    return tops.pop() if len(tops) == 1 else None


def _levels(tree: Tree, unlabelled: dict[str, Placement]) -> Iterator[Reading]:
    """Readings by the level at which the classes stand."""
    inside = [row for row in tree.rows if row.parts]
    lengths = Counter(len(row.parts) for row in inside)
    all_deeper = bool(lengths) and min(lengths) > 1

    def at(level: int) -> Callable[[Row], str]:
        return lambda row: row.parts[level]

    def joined(row: Row) -> str:
        return "/".join(row.parts[1:] if len(tops) > 1 and not shared else row.parts)

    tops = {row.parts[0] for row in inside}
    seconds: dict[str, set[str]] = defaultdict(set)
    for row in inside:
        if len(row.parts) > 1:
            seconds[row.parts[1]].add(row.parts[0])
    shared = sum(len(over) > 1 for over in seconds.values())
    first = _reading(
        tree, unlabelled, "folders:1", _level(tree, 0), at(0), Strength.CLEAN if tree.sure else Strength.WEAK
    )
    if not lengths or max(lengths) == 1:
        yield first
        return
    strength = Strength.CLEAN if all_deeper and tree.sure else Strength.WEAK
    second = None
    if all_deeper:
        second = _reading(tree, unlabelled, "folders:2", _level(tree, 1), at(1), strength)
    last = _reading(tree, unlabelled, "folders:last", "the innermost folders", at(-1), strength)
    path = _reading(tree, unlabelled, "folders:path", "the whole paths below the top folders", joined, strength)
    whole = [path] if (max(lengths) > 2 or shared) and not agree(path, first) else []
    deeper = [reading for reading in (second, *whole, last) if reading is not None and reading.taught > 1]
    if not all(folded(name) in ROLES for name in seconds):  # every class keeps its pictures in `images`
        first = replace(first, warnings=(*first.warnings, _nested_note(seconds)))
    if shared:
        which = named(sorted(name for name, over in seconds.items() if len(over) > 1))
        told = f"The top folders share subfolders: {which}."
        deeper = [replace(one, evidence=(*one.evidence, told)) for one in deeper]
    if shared and deeper and deeper[0] is not None and second is not None and second.taught > 1:
        yield from (deeper[0], first, *deeper[1:])
    else:
        yield from (first, *deeper)


def _nested_note(seconds: dict[str, set[str]]) -> str:
    holding: dict[str, list[str]] = defaultdict(list)
    for name, over in seconds.items():
        for top in over:
            holding[top].append(name)
    some = sorted(holding)[:3]
    told = "; ".join(f"{quoted(top)} = {named(sorted(holding[top]), 3)}" for top in some)
    return f"Classes hold subfolders: {told}{'; …' if len(holding) > len(some) else ''}. Are these the classes?"


def _level(tree: Tree, below: int) -> str:
    level = tree.depth + below + (1 if tree.inside and below else 0)
    if tree.depth < 0 or level >= len(_ORDINALS):
        return "the class folders"
    return "the top folders" if level == 0 and not tree.splits else f"the {_ORDINALS[level]} folder level"


def _reading(
    tree: Tree,
    unlabelled: dict[str, Placement],
    id: str,
    source: str,
    label: Callable[[Row], str],
    strength: Strength,
) -> Reading:
    shared: dict[tuple[Split, str], Placement] = {}
    placed = dict(unlabelled)
    skipped = dict(tree.skipped)
    for row in tree.rows:
        if not row.parts:
            skipped[row.path] = NO_CLASS
            continue
        key = (row.split or Split.TRAIN, label(row))
        placed[row.path] = shared.setdefault(key, Placement(*key))
    classes = {placement.label for placement in shared.values()}
    names = [name for name in classes if name is not None]
    if names and (all(folded(name) in ROLES | MASKS for name in names) or are_parts(names)):
        strength = Strength.WEAK
    where = " inside each class" if tree.inside else ""
    each = Counter(placement.label for placement in placed.values() if placement.label is not None)
    told = [*tree.notes]
    if each:
        told.append(
            f"{each.total():,} of {each.total() + len(skipped):,} labelled images lie in such folders, "
            f"{min(each.values()):,} to {max(each.values()):,} in each."
        )
    if tree.splits:
        told.append("; ".join(f"{quoted(name)} is {split}" for name, split in sorted(tree.splits.items())[:10]) + ".")
    return Reading(
        id=id if tree.split_apart else id.replace("folders", "folders-without-splits"),
        source=source,
        placements=placed,
        strength=strength,
        splits=named(sorted(tree.splits)) + where if tree.splits else None,
        skipped=skipped,
        evidence=told,
        warnings=tree.warnings,
    )
