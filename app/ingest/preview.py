"""Which images a page about the data set shows."""

import base64
from collections import defaultdict
from collections.abc import Iterator, Mapping

from app.domain.dataset import LISTED_CLASSES, LISTED_COPIES, LISTED_GROUPS, Preview, Split
from app.domain.layout import Layout
from app.ingest.copies import Copies

PREVIEW_NAME = "preview.json"
MAX_EXAMPLES = 360
"""Over all classes; a thumbnail has some three kilobytes."""
EXAMPLES_PER_CLASS = 8


def choose_examples(layout: Layout, ids: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Class name to paths: training images, drawn by content, so that file names and their order decide nothing. Of the
    classes that the page names."""
    named = dict.fromkeys((*layout.classes[:LISTED_CLASSES], ""))
    of_class: dict[str, list[str]] = defaultdict(list)
    for path, placement in layout.placements.items():
        if placement.split in (Split.TRAIN, Split.UNLABELLED) and (placement.label or "") in named:
            of_class[placement.label or ""].append(path)
    each = min(EXAMPLES_PER_CLASS, MAX_EXAMPLES // len(of_class))
    return {
        name: tuple(sorted(of_class[name], key=lambda path: ids[path])[:each]) for name in named if name in of_class
    }


def listed_copies(copies: Copies) -> Iterator[str]:
    """The paths of which a page shows pictures."""
    for groups in (copies.same, copies.near):
        for group in groups[:LISTED_GROUPS]:
            for copy in group[:LISTED_COPIES]:
                yield copy.path


def make_preview(examples: Mapping[str, tuple[str, ...]], thumbnails: Mapping[str, bytes]) -> Preview:
    """
    Args:
        examples: from `choose_examples`.
        thumbnails: JPEG by path.
    """
    return Preview(
        examples=dict(examples),
        pictures={path: base64.b64encode(data).decode("ascii") for path, data in thumbnails.items()},
    )
