"""Images that are there more than once: the same bytes, or the same picture in another size, quality or format."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.domain.dataset import ImageCopy, Split
from app.domain.layout import Layout
from app.ingest.names import shown
from app.ingest.near import near_groups
from app.ingest.picture import Picture

MAX_COPIES = 20
"""Files of one group that are kept; those that differ in split or label come first."""

Group = tuple[ImageCopy, ...]


@dataclass(frozen=True)
class Alike:
    """Groups of paths, in whatever split or class they are."""

    same: list[list[str]]
    """The same bytes."""
    near: list[list[str]]
    """Other bytes, the same picture."""


@dataclass(frozen=True)
class Copies:
    """Groups of files, the gravest first: under two labels, in two splits, then the rest."""

    same: list[Group]
    near: list[Group]


def find_alike(pictures: Mapping[str, Picture]) -> Alike:
    """Groups among all usable images."""
    by_id: dict[str, list[str]] = defaultdict(list)
    for path in sorted(pictures):
        by_id[pictures[path].id].append(path)
    every = list(by_id.values())
    first = [pictures[paths[0]] for paths in every]
    near = near_groups([picture.hash for picture in first], [picture.patch for picture in first])
    return Alike(
        same=[paths for paths in every if len(paths) > 1],
        near=[[path for row in rows for path in every[row]] for rows in near],
    )


def draw_keys(pictures: Mapping[str, Picture], alike: Alike) -> dict[str, str]:
    """What identifies each picture when a split is drawn: copies share it, so that a split that we draw never parts
    them."""
    keys = {path: picture.id for path, picture in pictures.items()}
    for paths in alike.near:
        keys.update(dict.fromkeys(paths, min(keys[path] for path in paths)))
    return keys


def find_copies(layout: Layout, pictures: Mapping[str, Picture], alike: Alike) -> Copies:
    """The groups as far as their images belong somewhere."""
    near = ([path for path in paths if path in layout.placements] for paths in alike.near)
    return Copies(
        same=_groups(layout, ([path for path in paths if path in layout.placements] for paths in alike.same)),
        near=_groups(layout, (paths for paths in near if len({pictures[path].id for path in paths}) > 1)),
    )


def warnings_of(copies: Copies) -> list[str]:
    """At most one sentence for each way in which copies mislead, with what to do."""
    return [*_sentences(copies.same, _SAME), *_sentences(copies.near, _NEAR)]


_SAME = {
    "labels": ("Images under two labels", "At least one label is wrong: keep each under the right one."),
    "test": ("Images in test and also in another split", "Test accuracy will look too good: keep each in one split."),
    "val": ("Images in val and also in another split", "Validation will look too good: keep each in one split."),
    "rest": ("Images that are there more than once", "They count as often: remove the copies unless you mean it."),
}
_NEAR = {
    "labels": ("Pictures under two labels, saved with other bytes", "Look at them: one label may be wrong."),
    "test": (
        "Pictures in test and, saved with other bytes, also in another split",
        "Test accuracy will look too good: keep all copies of a picture in one split.",
    ),
    "val": (
        "Pictures in val and, saved with other bytes, also in another split",
        "Validation will look too good: keep all copies of a picture in one split.",
    ),
    "rest": (
        "Pictures that are there more than once with other bytes",
        "They teach little more than one of them: look at the list, and remove what you do not mean.",
    ),
}


def _groups(layout: Layout, groups: Iterable[list[str]]) -> list[Group]:
    found = [_group(layout, paths) for paths in groups if len(paths) > 1]
    return sorted(found, key=lambda group: (list(_SAME).index(_kind(group)), group[0].path))


def _group(layout: Layout, paths: list[str]) -> Group:
    """Where there are many files, one of each split and label first."""
    copies = [ImageCopy(path=p, split=layout.placements[p].split, label=layout.placements[p].label) for p in paths]
    seen: set[tuple[Split, str | None]] = set()
    others = []
    for copy in copies:
        others.append((copy.split, copy.label) in seen)
        seen.add((copy.split, copy.label))
    ordered = [copy for _, copy in sorted(zip(others, copies, strict=True), key=lambda pair: pair[0])]
    return tuple(ordered[:MAX_COPIES])


def _kind(group: Group) -> str:
    """The gravest thing that is wrong with it."""
    splits = {copy.split for copy in group}
    if len({copy.label for copy in group} - {None}) > 1:
        return "labels"
    if len(splits) > 1 and Split.TEST in splits:
        return "test"
    if len(splits) > 1 and Split.VAL in splits:
        return "val"
    return "rest"


def _sentences(groups: list[Group], sentences: Mapping[str, tuple[str, str]]) -> list[str]:
    of_kind: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        of_kind[_kind(group)].append(group)
    return [
        f"{what}: {len(of_kind[kind])}, for example {_example(of_kind[kind][0])}. {advice}"
        for kind, (what, advice) in sentences.items()
        if of_kind[kind]
    ]


def _example(group: Group) -> str:
    """Two copies that differ as much as the group does."""
    first = group[0]
    other = max(group[1:], key=lambda copy: (copy.label != first.label) + (copy.split != first.split))
    return f"{shown(first.path)} and {shown(other.path)}"
