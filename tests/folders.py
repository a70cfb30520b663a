"""What lies in a folder while others are at work in it."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path) -> Iterator[Path]:
    """All files. A folder that goes away meanwhile is not an error, as it is with Path.rglob."""
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)
