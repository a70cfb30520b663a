"""The demo's data: 1,797 real handwritten digits as an image-folder archive, few of them labelled.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI (CC BY 4.0): 8 × 8 pixels, 17 levels.
`digits.xz` holds the test part of it, as scikit-learn does: for each of the 64 pixels the ink of all digits, a byte
each, and then what they are.
"""

import io
import lzma
import zipfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CLASSES = 10
SIDE = 8
INK_LEVELS = 16
TEST_SHARE = 0.4
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can hold: a member's time must not make two equal archives differ."""


def write_digits_zip(path: Path, *, labels_per_class: int = 2, seed: int = 0, side: int = 32) -> None:
    """Write `train/<digit>/`, `unlabeled/` and `test/<digit>/`: grey PNGs of `side` × `side` pixels, dark on white.

    The test images depend on `seed` alone, so runs with more or fewer labels are judged on the same ones; the labels of
    a smaller `labels_per_class` are among those of a larger. There is no `val/`: so few labels all have to train.
    Equal arguments write equal bytes.

    Raises:
        ValueError: if a class has fewer training images than `labels_per_class`, or that is below 1.
    """
    ink, targets = load()
    members = list(_members(targets, labels_per_class, seed))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, index in members:
            archive.writestr(zipfile.ZipInfo(name, LONG_AGO), _png(ink[index], side))


def load() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Ink [digits, 8, 8] in 0..16, and what each digit is."""
    table = np.frombuffer(lzma.decompress(files("app.demo").joinpath("digits.xz").read_bytes()), np.uint8)
    columns = table.reshape(SIDE * SIDE + 1, -1)
    return columns[:-1].T.reshape(-1, SIDE, SIDE), columns[-1]


def _members(targets: NDArray[np.uint8], labels_per_class: int, seed: int) -> Iterator[tuple[str, int]]:
    """Each image's place in the archive. A file is named by its position in the source."""
    rng = np.random.default_rng(seed)
    unlabelled: list[int] = []
    for digit in range(CLASSES):
        of_class = rng.permutation(np.flatnonzero(targets == digit))
        test, train = np.split(of_class, [round(TEST_SHARE * len(of_class))])
        if not 1 <= labels_per_class <= len(train):
            raise ValueError(
                f"labels_per_class must be between 1 and {len(train)}: digit {digit} has no more to train on"
            )
        yield from ((f"train/{digit}/{index:04d}.png", int(index)) for index in train[:labels_per_class])
        yield from ((f"test/{digit}/{index:04d}.png", int(index)) for index in test)
        unlabelled += train[labels_per_class:].tolist()
    yield from ((f"unlabeled/{index:04d}.png", index) for index in sorted(unlabelled))


def _png(ink: NDArray[np.uint8], side: int) -> bytes:
    """One digit, enlarged. Its strokes touch the edge, so a blank border keeps random crops from cutting them."""
    paper = np.pad(255 - ink * (255 / INK_LEVELS), 1, constant_values=255)
    image = Image.fromarray(paper.round().astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
