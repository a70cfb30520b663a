"""Which column of a table tells the splits, and what its values stand for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.dataset import Split
from app.reading.tables.headings import BARE_LABEL_NAMES, FLAG_NAMES, SPLIT_NAMES, bare
from app.reading.tables.table import Row
from app.reading.words import folded, split_of

YES, NO = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no"})
_UNASSIGNED = {"unassigned": "train"}
"""Google AutoML: the trainer may put it where it likes."""
_SHORT: Sequence[Mapping[str, str]] = (
    {"tr": "train", "va": "val", "vl": "val", "te": "test", "ts": "test"},
    {"t": "train", "v": "val", "e": "test"},
)
"""Too short to be words anywhere else: `tr` and `te` are languages too."""
_NUMBERED = {"partition": {"0": "train", "1": "val", "2": "test"}}
"""By heading: CelebA's. Elsewhere numbers may be folds, and not all authors count alike."""


@dataclass(frozen=True)
class SplitColumn:
    """What was found."""

    column: int | None = None
    flag: Split | None = None
    """What a yes says."""
    spelled: Mapping[str, str] = field(default_factory=dict)
    """By folded cell, the word that it stands for."""
    understood: Sequence[tuple[str, str]] = ()
    """Such cells that are there, each with its word."""
    unread: int | None = None
    """A column that is called like a split, where no cell says which."""


def find_split_column(heading: Sequence[str] | None, body: Sequence[Row], width: int, path: int) -> SplitColumn:
    values = {i: _values(body, i) for i in range(width) if i != path}
    if heading is not None:
        called = list(_called(heading, values))
        for name, column in called:
            if name in FLAG_NAMES and set(map(str.lower, values[column])) <= YES | NO:
                return SplitColumn(column, FLAG_NAMES[name])
            if name not in FLAG_NAMES:
                numbered = _NUMBERED.get(name, {})
                known = values[column] == numbered.keys()
                spelled = numbered if known else _spelling(values[column], short=True)
                if spelled is not None or any(split_of(value) is not None for value in values[column]):
                    return _found(column, values[column], spelled or _UNASSIGNED)
    for column, cells in values.items():
        spelled = _spelling(cells, short=False)
        if spelled is not None and (heading is None or _tells_splits(heading, column, cells)):
            return _found(column, cells, spelled)
    if heading is None:
        return SplitColumn()
    doubtful = (i for name, i in called if name not in FLAG_NAMES and 2 <= len(values[i]) <= max(2, len(body) // 2))
    return SplitColumn(unread=next(doubtful, None))


def _found(column: int, values: set[str], spelled: Mapping[str, str]) -> SplitColumn:
    seen = [(value, spelled[folded(value)]) for value in sorted(values) if folded(value) in spelled]
    return SplitColumn(column, spelled=spelled, understood=seen)


def _values(body: Sequence[Row], column: int) -> set[str]:
    return {cells[column] for _, cells in body if column < len(cells) and cells[column]}


def _called(heading: Sequence[str], values: Mapping[int, set[str]]) -> Iterator[tuple[str, int]]:
    """Columns that are called like splits, the likelier first."""
    heads = [bare(head) for head in heading]
    for name in (*SPLIT_NAMES, *FLAG_NAMES):
        for column, head in enumerate(heads):
            if head == bare(name) and values.get(column):
                yield name, column


def _spelling(cells: set[str], *, short: bool) -> Mapping[str, str] | None:
    """What the cells stand for that are no words for splits, if all cells are understood."""
    words = {cell for cell in cells if folded(cell) not in _UNASSIGNED}
    if words and all(split_of(word) is not None for word in words):
        return _UNASSIGNED
    plain = set(map(folded, words))
    fits = (spelled for spelled in _SHORT if plain <= spelled.keys() and len({spelled[word] for word in plain}) > 1)
    return next(({**spelled, **_UNASSIGNED} for spelled in fits), None) if short else None


def _tells_splits(heading: Sequence[str], column: int, cells: set[str]) -> bool:
    """Whatever it is called, unless like a class: one that holds `train` and another split."""
    found = {split_of(cell) for cell in cells} - {None}
    named_class = column < len(heading) and bare(heading[column]) in BARE_LABEL_NAMES
    return not named_class and Split.TRAIN in found and len(found) > 1
