"""CVAT for images: `annotations.xml` with a `<tag>` for each image. And refused by name: Pascal VOC, boxes only."""

import io
from collections.abc import Iterator
from xml.etree import ElementTree

from app.reading.context import Context
from app.reading.labelled import Item, labelled_reading
from app.reading.listing import suffix_of
from app.reading.reading import Reading, Refusal, Strength
from app.reading.words import split_of

_SHAPES = frozenset({"box", "polygon", "polyline", "points", "ellipse", "cuboid", "mask", "skeleton"})
_MOST_REFUSED = 1_000


def read(context: Context) -> Iterator[Reading | Refusal]:
    items: list[Item] = []
    boxes = False
    boxed: list[str] = []
    for file in context.listing.texts:
        if suffix_of(file) != ".xml":
            continue
        text = context.text(file) or ""
        if "<!" in text.replace("<!--", "") or len(boxed) > _MOST_REFUSED:  # no document of these declares anything
            continue
        try:
            if "<annotations" in text[:4096]:
                found, with_boxes = _items(file, text)
                items += found
                boxes = boxes or with_boxes
            elif "<annotation" in text[:4096] and "<bndbox" in text:
                boxed.append(file)
        except ElementTree.ParseError:
            context.ignore(file, "not well-formed XML")
    if items:
        reading = labelled_reading(context, "cvat-xml", "CVAT for images", items, boxes=boxes)
        if reading is not None:
            yield reading
    if boxed:
        yield Refusal(
            "Pascal VOC",
            f"This is Pascal VOC: {len(boxed):,} XML files with boxes, such as {boxed[0]!r}. They say where objects "
            "are, not which one class an image has.",
            "Cut the boxes out and sort them into one folder per class.",
            Strength.CLEAN,
            frozenset(boxed),
        )


def _items(file: str, text: str) -> tuple[list[Item], bool]:
    items: list[Item] = []
    boxes = False
    for _, element in ElementTree.iterparse(io.StringIO(text)):  # noqa: S314 no entity was declared
        if element.tag != "image":
            continue
        tags = dict.fromkeys(tag.get("label", "") for tag in element if tag.tag == "tag")
        shapes = dict.fromkeys(shape.get("label", "") for shape in element if shape.tag in _SHAPES)
        boxes = boxes or bool(shapes and not tags)
        split = split_of(element.get("subset", ""))
        items.append(Item(element.get("name", ""), tuple(tags or shapes), file, split))
        element.clear()
    return items, boxes
