"""Folders of small images."""

from collections.abc import Iterable
from pathlib import Path

from PIL import Image


def write_images(folder: Path, names: Iterable[str], count: int = 2) -> None:
    """`count` images of 8 pixels in each of the folders; no two are alike."""
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            Image.new("RGB", (8, 8), (23 * number % 256, 40 * index % 256, 7)).save(folder / name / f"{index}.png")
