"""A reading: one way to understand an archive. Several may be possible; `choose` compares them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property

from app.domain.dataset import Reason, Split
from app.domain.layout import natural
from app.domain.placement import Placement

SHOWN = 5
"""Names in a sentence."""


class Strength(IntEnum):
    """How sure it is that the images are meant so."""

    WEAK = 1
    """It could be."""
    CLEAN = 2
    """Everything fits."""
    EXPLICIT = 3
    """It says so: a documented file of labels, or the export of a labelling tool."""


@dataclass(frozen=True)
class Reading:
    """Which class and split each image has, and why."""

    id: str
    """Tells it from the others, and is what a caller names to choose it: `folders:2`, `table:train.csv`."""
    source: str
    """Ends "4 classes from …"."""
    placements: Mapping[str, Placement]
    """By path, of all images that belong somewhere, also of those that turn out to be no images."""
    strength: Strength
    splits: str | None = None
    """Ends "splits from …"; None where the archive gives none."""
    skipped: Mapping[str, Reason] = field(default_factory=dict)
    """Images that belong nowhere, by path."""
    evidence: Sequence[str] = ()
    """Sentences: what speaks for it."""
    warnings: Sequence[str] = ()
    """Sentences, loud: what may be wrong with it."""
    used: frozenset[str] = frozenset()
    """Files other than images that it was read from."""

    @cached_property
    def counts(self) -> Counter[str]:
        """Labelled images by class."""
        return Counter(p.label for p in self.placements.values() if p.label is not None)

    @cached_property
    def classes(self) -> list[str]:
        """In natural order."""
        return sorted(self.counts, key=natural)

    @cached_property
    def taught(self) -> int:
        """Classes that have a training image."""
        return len({p.label for p in self.placements.values() if p.split is Split.TRAIN and p.label is not None})


@dataclass(frozen=True)
class Refusal:
    """What an archive is, where that is known and cannot be read."""

    format: str
    """Begins a sentence: `COCO with boxes`."""
    detail: str
    hint: str
    strength: Strength = Strength.EXPLICIT
    files: frozenset[str] = frozenset()


def agree(one: Reading, other: Reading) -> bool:
    """Whether two readings put the same images together, whatever they call the classes."""
    if one.placements is other.placements:
        return True
    pairs: dict[str | None, str | None] = {}
    back: dict[str | None, str | None] = {}
    shared = 0
    for path, placement in one.placements.items():
        there = other.placements.get(path)
        if there is None:
            continue
        shared += 1
        if pairs.setdefault(placement.label, there.label) != there.label:
            return False
        if back.setdefault(there.label, placement.label) != placement.label:
            return False
    return shared > 0


def named(names: Iterable[str], most: int = SHOWN) -> str:
    """For a sentence: `a`, `b` and `c`."""
    every = [f"`{_visible(name)}`" for name in names]
    if len(every) > most:
        return ", ".join(every[:most]) + f" and {len(every) - most} more"
    return " and ".join(filter(None, [", ".join(every[:-1]), *every[-1:]]))


def quoted(name: str) -> str:
    return f"`{_visible(name)}`"


def _visible(name: str) -> str:
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name[:80])
    return shown + ("…" if len(name) > 80 else "")
