"""JSON that is a table in other words: a list of flat objects, `{"a.jpg": "cat"}`, or `{"cat": ["a.jpg"]}`."""

from collections.abc import Iterator

from app.reading.context import Context
from app.reading.labelled import Item, labelled_reading
from app.reading.listing import name_of
from app.reading.reading import Reading, Refusal
from app.reading.table_readings import table_readings
from app.reading.tables import Table, records_table

_WRAPPERS = ("data", "images", "annotations", "samples", "items", "records", "rows", "labels")


def read(context: Context) -> Iterator[Reading | Refusal]:
    tables: list[Table] = []
    for file, document in context.documents():
        content = document
        if isinstance(document, dict):
            lists = [key for key in _WRAPPERS if isinstance(document.get(key), list)]
            content = document[lists[0]] if len(lists) == 1 else document
        if isinstance(content, list):
            table = records_table(file, content)
            if table is not None:
                tables.append(table)
        elif isinstance(content, dict):
            items = _items(file, content, context)
            reading = (
                labelled_reading(context, f"json:{file[:150]}", f"the JSON file {name_of(file)}", items)
                if items
                else None
            )
            if isinstance(reading, Reading):
                yield reading
    if tables:
        yield from table_readings(context, tables)


def _items(file: str, content: dict[str, object], context: Context) -> list[Item]:
    """Of `{file: class}` or `{class: [files]}`, where most of the files are there."""
    some = list(content.items())[:100]
    if some and all(isinstance(value, str | int) for _, value in some):
        if sum(context.index.find(str(key)).path is not None for key, _ in some) > len(some) / 2:
            return [Item(key, (str(value),), file) for key, value in content.items() if isinstance(value, str | int)]
    elif some and all(isinstance(value, list) and all(isinstance(one, str) for one in value[:5]) for _, value in some):
        found = [one for _, value in some if isinstance(value, list) for one in value[:5]]
        if found and sum(context.index.find(one).path is not None for one in found) > len(found) / 2:
            return [
                Item(str(one), (label,), file)
                for label, files in content.items()
                if isinstance(files, list)
                for one in files
            ]
    return []
