"""The folders of an archive without those that say nothing of classes: wrappers, masks, strays, copies."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.domain.dataset import Reason, Split
from app.reading.reading import named, quoted
from app.reading.words import MASKS, ROLES, STRAYS, folded, split_of

NO_CLASS = Reason("is in no class folder")
_WRAPPED_SHARE = 0.5
"""Of the images, from which on a folder is taken for a wrapper, where the others are called like what people pack by
the way."""


@dataclass(frozen=True, slots=True)
class Row:
    path: str
    split: Split | None
    parts: tuple[str, ...]
    """The folders that may be its class, outermost first."""


@dataclass(frozen=True)
class Tree:
    """The labelled images below the folders that say nothing."""

    rows: Sequence[Row]
    skipped: dict[str, Reason]
    depth: int
    """Folders above the first of `parts`; -1 where that differs."""
    splits: Mapping[str, Split] = field(default_factory=dict)
    """The folders that are splits, as they are called, and which."""
    inside: bool = False
    """Whether these stand inside each class."""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    sure: bool = True
    split_apart: bool = True
    """Whether what is called like a split was taken for one."""


def without_masks(tree: Tree) -> Tree:
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


def unwrapped(tree: Tree) -> Tree:
    """Without the folders around everything, and without what stands beside them."""
    while True:
        tops = Counter(row.parts[0] for row in tree.rows if row.parts)
        deeper = {row.parts[0] for row in tree.rows if len(row.parts) > 1}
        if len(tops) > 1:
            below = subfolders(tree.rows)
            inner = [top for top in tops if folded(top) not in STRAYS]
            # what holds the same folders is one of them, whatever it is called
            inner += [top for top in tops if top not in inner and any(below[top] & below[other] for other in inner)]
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
        rows = [Row(row.path, None, row.parts[1:]) for row in tree.rows if row.path not in skipped]
        tree = replace(tree, rows=rows, skipped=tree.skipped | skipped, depth=tree.depth + 1)


def without_copies(tree: Tree) -> Tree:
    """Where a folder holds folders called like those beside it, as in an archive that was packed into itself, its
    images are of the same classes."""
    below = subfolders(tree.rows)
    beside = {folded(row.parts[0]): row.parts[0] for row in tree.rows if row.parts}
    flat = {row.parts[0] for row in tree.rows if len(row.parts) == 1}
    copies = {
        top
        for top, inner in below.items()
        if len(inner) > 1 and top not in flat and inner <= beside.keys() - {folded(top)} and split_of(top) is None
    }
    if not copies:
        return tree

    def of_class(row: Row) -> Row:
        if not row.parts or row.parts[0] not in copies:
            return row
        return replace(row, parts=(beside[folded(row.parts[1])], *row.parts[2:]))

    told = (
        f"{named(sorted(copies), 3)}: it holds folders called like those beside it. Its images are taken for more of "
        "the same classes; leave it out if it is a copy."
    )
    return replace(tree, rows=[of_class(row) for row in tree.rows], warnings=(*tree.warnings, told))


def subfolders(rows: Iterable[Row]) -> dict[str, set[str]]:
    """By top folder: what the folders in it are called, folded."""
    below: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if len(row.parts) > 1:
            below[row.parts[0]].add(folded(row.parts[1]))
    return below
