"""JSON that is a table in other words: a list of flat objects, also below the file's or the split's name,
`{"a.jpg": "cat"}`, or `{"cat": ["a.jpg"]}`, also by split. And lists of splits: `{"train": ["a.jpg"]}`."""

from collections.abc import Iterator, Sequence
from typing import Any

from app.domain.dataset import Split
from app.reading.context import Context
from app.reading.labelled import Item, labelled_reading
from app.reading.listing import folder_of, name_of
from app.reading.paths.split_folders import table_splits
from app.reading.reading import Reading, Refusal
from app.reading.tables.readings import table_readings
from app.reading.tables.table import Table, records_table
from app.reading.words import split_of

_WRAPPERS = ("data", "images", "annotations", "samples", "items", "records", "rows", "labels")


def read(context: Context) -> Iterator[Reading | Refusal]:
    tables: list[Table] = []
    mappings: dict[str, list[Item]] = {}
    for file, document in context.documents():
        content = document
        if isinstance(document, dict):
            lists = [key for key in _WRAPPERS if isinstance(document.get(key), list)]
            content = document[lists[0]] if len(lists) == 1 else _records(document, context)
        if isinstance(content, list):
            table = records_table(file, content)
            if table is not None:
                tables.append(table)
        elif isinstance(content, dict) and not _list_splits(file, content, context):
            items = _items(file, content, context)
            if items:
                mappings[file] = items
    splits = table_splits(mappings, context.listing.root)
    parts = [list(mappings)] if len(set(splits.values())) == len(mappings) else [[file] for file in mappings]
    for files in parts if mappings else ():  # `train.json` and `test.json` are one set
        called = f"the JSON file{'s' if len(files) > 1 else ''} {' and '.join(map(name_of, files))}"
        reading = labelled_reading(
            context, f"json:{files[0][:150]}", called, [item for file in files for item in mappings[file]]
        )
        if reading is not None:
            yield reading
    if tables:
        yield from table_readings(context, tables)


def _records(document: dict[str, Any], context: Context) -> list[Any] | dict[str, Any]:
    """The rows of `{"train": [{"file": …}, …]}`, also with `["a.jpg", 0, "cat"]` for an object, and those of
    `{"a.jpg": {"label": "cat"}}`; the document itself where it is neither."""
    if document and all(isinstance(rows, list) and split_of(name) for name, rows in document.items()):
        rows = [(name, row) for name, rows in document.items() for row in rows]
        if all(isinstance(row, dict) for _, row in rows):
            return [{**row, "split": name} for name, row in rows]
        if all(isinstance(row, list) and len(row) > 1 and isinstance(row[0], str) for _, row in rows):
            return [{"file_name": row[0], "label": row[-1], "split": name} for name, row in rows]
    elif all(isinstance(about, dict) for about in document.values()) and _are_there(list(document)[:100], context):
        return [{"file_name": name, **about} for name, about in document.items()]
    return document


def _list_splits(file: str, content: dict[str, object], context: Context) -> bool:
    """Whether it is `{split: [files]}`; these lists are then those of the splits, as `train.txt` is one."""
    lists = {name: files for name, files in content.items() if isinstance(files, list) and split_of(name)}
    listed = [one for files in lists.values() for one in files]
    if not listed or len(lists) < len(content) or not all(isinstance(one, str) for one in listed):
        return False
    if not _are_there(listed[:100], context):
        return False
    for name, files in lists.items():
        split = split_of(name)
        if split is not Split.UNLABELLED:
            found = (context.index.find(one, folder_of(file), split).path for one in files)
            context.listed_splits[f"{file}/{name}"] = frozenset(path for path in found if path is not None)
    context.ignore(file, "it lists the images of splits and tells no classes")
    return True


def _items(file: str, content: dict[str, Any], context: Context, split: Split | None = None) -> list[Item]:
    """Of `{file: class}` or `{class: [files]}`, where most of the files are there; also for each split, above or below
    the classes."""
    by_split = _by_split(content) if split is None else {}
    if by_split:
        return [item for name, inner in by_split.items() for item in _items(file, inner, context, split_of(name))]
    some = list(content.items())[:100]
    if some and all(isinstance(value, str | int) for _, value in some):
        if _are_there([key for key, _ in some], context):
            return [
                Item(key, (str(value),), file, split) for key, value in content.items() if isinstance(value, str | int)
            ]
    elif some and all(isinstance(value, list) and all(isinstance(one, str) for one in value[:5]) for _, value in some):
        lists = {key: value for key, value in content.items() if isinstance(value, list)}
        if _are_there([key for key, _ in some], context):
            return [Item(key, tuple(map(str, labels)), file, split) for key, labels in lists.items()]
        found = [one for value in list(lists.values())[:100] for one in value[:5]]
        if _are_there(found, context):
            return [Item(str(one), (label,), file, split) for label, files in lists.items() for one in files]
    return []


def _by_split(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """`{"train": {"cat": …}}`, and `{"cat": {"train": …}}` turned round; empty where it is neither."""
    if not all(isinstance(inner, dict) for inner in content.values()):
        return {}
    if all(map(split_of, content)):
        return content
    turned: dict[str, dict[str, Any]] = {}
    for label, inner in content.items():
        for name, files in inner.items():
            turned.setdefault(name, {})[label] = files
    return turned if all(map(split_of, turned)) else {}


def _are_there(names: Sequence[str], context: Context) -> bool:
    """Whether most of them name images, be it of several splits at once."""
    index = context.index.of_any_split
    return sum(index.find(name).path is not None for name in names) > len(names) / 2
