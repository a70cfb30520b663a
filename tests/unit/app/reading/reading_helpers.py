"""An archive as names and texts, and what was made of it."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from app.domain.errors import DatasetRejected
from app.reading.choose import Choice, choose
from app.reading.context import Context
from app.reading.listing import Listing
from app.reading.words import folded

FRUIT = ("lemon", "lime", "plum")


def chosen(
    images: Iterable[str], texts: Mapping[str, object] | None = None, layout: str | None = None, **said: Any
) -> Choice:
    """`texts`: bytes and texts as they are, anything else as JSON."""
    written = {
        file: content
        if isinstance(content, bytes)
        else (content if isinstance(content, str) else json.dumps(content)).encode()
        for file, content in (texts or {}).items()
    }
    others = said.pop("others", {})
    if "unlabelled_classes" in said:
        said["unlabelled_classes"] = frozenset(map(folded, said["unlabelled_classes"]))
    return choose(Context(Listing(tuple(sorted(images)), written, others), **said), layout)


def refused(images: Iterable[str], texts: Mapping[str, object] | None = None, **said: Any) -> str:
    """Detail and hint."""
    with pytest.raises(DatasetRejected) as caught:
        chosen(images, texts, **said)
    return f"{caught.value.detail} {caught.value.hint}"


def counts(choice: Choice) -> dict[str, int]:
    """Images by class, where nothing is asked."""
    assert not choice.asks, choice
    return dict(choice.reading.counts)


def splits(choice: Choice) -> dict[str, str]:
    return {path: str(p.split) for path, p in choice.reading.placements.items()}


def fruit_images(folder: str = "img/", each: int = 3, suffix: str = ".jpg") -> dict[str, str]:
    """Path to class."""
    return {f"{folder}{name}_{i}{suffix}": name for name in FRUIT for i in range(each)}
