"""Exports of other tools, one module each.

A module has `read(context)`, which gives `Reading`s and `Refusal`s, and nothing where it does not find its format. To
add one, write the module, add it to `READERS`, and a row to the table in docs/datasets.md.
"""

from collections.abc import Callable, Iterable

from app.reading.context import Context
from app.reading.formats import (
    coco,
    cvat_xml,
    datumaro,
    embedded,
    fiftyone,
    json_beside,
    json_lines,
    json_tables,
    label_studio,
    numbered_images,
    refused,
    via,
    webdataset,
)
from app.reading.reading import Reading, Refusal

Reader = Callable[[Context], Iterable[Reading | Refusal]]

READERS: tuple[Reader, ...] = (
    embedded.read,
    coco.read,
    datumaro.read,
    cvat_xml.read,
    label_studio.read,
    fiftyone.read,
    json_beside.read,
    json_lines.read,
    via.read,
    webdataset.read,
    json_tables.read,
    numbered_images.read,
    refused.read,
)
