"""Classes and splits from folders."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from app.domain.dataset import Reason, Split
from app.domain.placement import Placement
from app.reading.listing import Listing
from app.reading.reading import Reading, Strength, agree, named, quoted
from app.reading.words import MASKS, ROLES, STRAYS, are_parts, folded, is_unlabelled, split_of, splits_of

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh")
NO_CLASS = Reason("is in no class folder")
_WRAPPED_SHARE = 0.5
"""Of the images, from which on a folder is taken for a wrapper, where the others are called like what people pack by
the way."""


@dataclass(frozen=True, slots=True)
class _Row:
    path: str
    split: Split | None
    parts: tuple[str, ...]
    """The folders that may be its class, outermost first."""


@dataclass(frozen=True)
class _Tree:
    """The labelled images below the folders that say nothing."""

    rows: Sequence[_Row]
    skipped: dict[str, Reason]
    depth: int
    """Folders above the first of `parts`; -1 where that differs."""
    splits: tuple[str, ...] = ()
    """The folders that are splits, as they are called."""
    inside: bool = False
    """Whether these stand inside each class."""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    sure: bool = True


def folder_readings(listing: Listing, unlabelled_classes: Collection[str] = ()) -> list[Reading]:
    """The likeliest first."""
    unlabelled = {p for p in listing.images if any(is_unlabelled(f, unlabelled_classes) for f in p.split("/")[:-1])}
    placed = dict.fromkeys(unlabelled, Placement(Split.UNLABELLED, None))
    rows = [_Row(path, None, tuple(path.split("/")[:-1])) for path in listing.images if path not in unlabelled]
    tree = _unwrapped(_without_masks(_Tree(rows, {}, 0)))
    return [reading for split_tree in _with_splits(tree) for reading in _levels(split_tree, placed)]


def _without_masks(tree: _Tree) -> _Tree:
    """Where `images` and `masks` stand side by side, the masks are no images of a class."""
    beside: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for folders in {row.parts for row in tree.rows}:
        for level, part in enumerate(folders):
            beside[folders[:level]].add(part)
    masked = {
        (*parent, name)
        for parent, names in beside.items()
        if any(folded(name) in ROLES for name in names)
        for name in names
        if folded(name) in MASKS
    }
    if not masked:
        return tree
    skipped = {
        row.path: Reason("is a mask or drawing of labels, beside the images")
        for row in tree.rows
        if any(row.parts[: level + 1] in masked for level in range(len(row.parts)))
    }
    if len(skipped) == len(tree.rows):
        return tree
    where = named(sorted("/".join(parts) for parts in masked), 3)
    note = f"Left out as masks: {len(skipped)} images in {where}, because other images stand beside them."
    rows = [row for row in tree.rows if row.path not in skipped]
    return replace(tree, rows=rows, skipped=tree.skipped | skipped, warnings=(*tree.warnings, note))


def _unwrapped(tree: _Tree) -> _Tree:
    """Without the folders around everything, and without what stands beside them."""
    while True:
        tops = Counter(row.parts[0] for row in tree.rows if row.parts)
        deeper = {row.parts[0] for row in tree.rows if len(row.parts) > 1}
        if len(tops) > 1:
            inner = [top for top in tops if folded(top) not in STRAYS]
            share = sum(tops[top] for top in inner) / sum(tops.values())
            if len(inner) != 1 or inner[0] not in deeper or share < _WRAPPED_SHARE or tops[inner[0]] < 4:
                return tree
            strays = named(sorted(set(tops) - set(inner)))
            tree = replace(
                tree, warnings=(*tree.warnings, f"Left out: {strays}, beside the folder {quoted(inner[0])}.")
            )
            top = inner[0]
        elif len(tops) == 1 and deeper and split_of(next(iter(tops))) is None:
            (top,) = tops
        else:
            return tree
        skipped = {row.path: NO_CLASS for row in tree.rows if row.parts[:1] != (top,)}
        rows = [_Row(row.path, None, row.parts[1:]) for row in tree.rows if row.path not in skipped]
        tree = replace(tree, rows=rows, skipped=tree.skipped | skipped, depth=tree.depth + 1)


def _with_splits(tree: _Tree) -> Iterator[_Tree]:
    """The tree with its splits told; twice where it may also have none."""
    tops = {row.parts[0] for row in tree.rows if row.parts}
    found = splits_of(tops)
    holds_folders = any(len(row.parts) > 1 for row in tree.rows if row.parts and row.parts[0] in found)
    if found and (holds_folders or len(found) == len(tops)):
        yield _split_above(tree, found)
        if len(found) < len(tops):
            yield replace(tree, sure=False)
        return
    inside = {row.parts[1] for row in tree.rows if len(row.parts) > 1}
    if inside and all(len(row.parts) > 1 for row in tree.rows if row.parts):
        below = splits_of(inside)
        if len(below) == len(inside):
            rows = [
                _Row(row.path, below[row.parts[1]], (row.parts[0], *row.parts[2:])) if row.parts else row
                for row in tree.rows
            ]
            yield replace(tree, rows=rows, splits=tuple(sorted(inside)), inside=True)
            return
    yield tree


def _split_above(tree: _Tree, found: dict[str, Split]) -> _Tree:
    by_top: dict[str, list[_Row]] = defaultdict(list)
    skipped = dict(tree.skipped)
    rows: list[_Row] = []
    for row in tree.rows:
        if row.parts and row.parts[0] in found:
            by_top[row.parts[0]].append(_Row(row.path, found[row.parts[0]], row.parts[1:]))
        elif Split.TRAIN in found.values():
            skipped[row.path] = Reason("stands beside the train folder, not in one of its classes")
        else:
            rows.append(_Row(row.path, Split.TRAIN, row.parts))
    only = {top: _only_folder(some) for top, some in by_top.items()}
    depths = {0} if rows else set()
    for top, some in by_top.items():
        below = 1
        wrapper = only[top]
        while wrapper is not None and (
            split_of(wrapper) is not None
            or folded(wrapper) in ROLES
            or folded(wrapper) == folded(top)
            or (len(only) > 1 and len(set(only.values())) == 1)
        ):
            some = [_Row(row.path, row.split, row.parts[1:]) for row in some if row.parts]  # noqa: PLW2901
            below += 1
            wrapper = _only_folder(some)
        kept = {row.path for row in some}
        skipped.update({row.path: NO_CLASS for row in by_top[top] if row.path not in kept})
        depths.add(below)
        rows.extend(some)
    depth = tree.depth + depths.pop() if len(depths) == 1 else -1
    return replace(tree, rows=rows, skipped=skipped, depth=depth, splits=tuple(sorted(found)))


def _only_folder(rows: Sequence[_Row]) -> str | None:
    """The one folder that holds all folders of these images."""
    tops = {row.parts[0] for row in rows if row.parts}
    return tops.pop() if len(tops) == 1 and any(len(row.parts) > 1 for row in rows) else None


def _levels(tree: _Tree, unlabelled: dict[str, Placement]) -> Iterator[Reading]:
    """Readings by the level at which the classes stand."""
    inside = [row for row in tree.rows if row.parts]
    lengths = Counter(len(row.parts) for row in inside)
    all_deeper = bool(lengths) and min(lengths) > 1

    def at(level: int) -> Callable[[_Row], str]:
        return lambda row: row.parts[level]

    def joined(row: _Row) -> str:
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


def _level(tree: _Tree, below: int) -> str:
    level = tree.depth + below + (1 if tree.inside and below else 0)
    if tree.depth < 0 or level >= len(_ORDINALS):
        return "the class folders"
    return "the top folders" if level == 0 and not tree.splits else f"the {_ORDINALS[level]} folder level"


def _reading(
    tree: _Tree,
    unlabelled: dict[str, Placement],
    id: str,
    source: str,
    label: Callable[[_Row], str],
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
        called = splits_of(tree.splits)
        told.append("; ".join(f"{quoted(name)} is {called[name]}" for name in tree.splits[:10] if name in called) + ".")
    return Reading(
        id=id if tree.sure else id.replace("folders", "folders-without-splits"),
        source=source,
        placements=placed,
        strength=strength,
        splits=named(tree.splits) + where if tree.splits else None,
        skipped=skipped,
        evidence=told,
        warnings=tree.warnings,
    )
