"""How much a table says that its column is the class."""

from collections.abc import Sequence

from app.reading.context import Context
from app.reading.listing import folder_of, name_of
from app.reading.reading import Strength, quoted
from app.reading.tables.columns import Columns
from app.reading.tables.given_splits import list_splits
from app.reading.tables.groups import is_own
from app.reading.tables.headings import WEAK, bare
from app.reading.tables.rows import Rows
from app.reading.tables.table import Table

Read = Sequence[tuple[Table, Columns, Rows]]


def strength(context: Context, read: Read, label: int, *, several: bool) -> Strength:
    """A file that is called like labels is meant as such only where a column is called so too: a `metadata.csv` may
    tell who took the pictures.

    Args:
        context: the archive.
        read: the tables of a reading.
        label: the column of its class.
        several: whether other columns may be meant as well.
    """
    _, columns, _ = read[0]
    if several and not columns.known:
        return Strength.WEAK
    by_name_alone = any(rows.by_name_alone for *_, rows in read)
    if by_name_alone and any(len(name_of(path)) < 6 for *_, rows in read for path in list(rows.labels)[:50]):
        return Strength.WEAK
    if any(not table.words for table, *_ in read):  # what follows a path on its line may be any text
        return Strength.WEAK
    own = all(is_own(table.file) for table, *_ in read)
    if columns.one_hot or columns.known:
        asked = context.labels_column is not None
        says_so = columns.one_hot or asked or bare(columns.name(label)) not in WEAK
        return Strength.EXPLICIT if own and says_so else Strength.CLEAN
    return Strength.EXPLICIT if own and not _in_several_folders(read) else Strength.WEAK


def leave_to_folders(context: Context, read: Read, label: int) -> None:
    """Where class folders count more than a file that is called like labels, its splits are theirs too, and its column
    is told."""
    _, columns, _ = read[0]
    unclear = not columns.known and not columns.one_hot and all(is_own(table.file) for table, *_ in read)
    if not unclear or not _in_several_folders(read) or _is_folder(read):
        return
    for table, found, _ in read:
        list_splits(context, table, found)
        column = quoted(columns.name(label))
        context.ignore(table.file, f"its column {column} was not taken; no heading says that it tells a class")


def _in_several_folders(read: Read) -> bool:
    return len({folder_of(path) for *_, rows in read for path in rows.labels}) > 1


def _is_folder(read: Read) -> bool:
    """Whether the labels divide the images as the folders at some depth do."""
    labels = [(path.split("/")[:-1], label) for *_, rows in read for path, label in rows.labels.items() if label]
    depth = min((len(folders) for folders, _ in labels), default=0)
    pairs = ({(folders[i], label) for folders, label in labels} for i in range(depth))
    return any(len(every) == len({f for f, _ in every}) == len({label for _, label in every}) for every in pairs)
