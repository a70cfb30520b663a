"""Validation and test splits where the user gave none: stratified, seeded, the same in whatever order files come."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping

from app.domain.dataset import Split

MIN_TRAIN = 5
"""A class with fewer training images keeps them all: with a label or two, giving one away costs more than a noisy
validation tells."""
TEST_FRACTION = 0.2
"""Of a class's labelled images."""
VAL_FRACTION = 0.1
"""Of a class's labelled images, when test is made as well."""
VAL_FRACTION_OF_TRAIN = 0.15
"""Of a class's training images, when test was given."""


def draw(train: Mapping[str, str], wanted: Collection[Split], seed: int, keys: Mapping[str, str]) -> dict[str, Split]:
    """Choose the images that leave train.

    Args:
        train: path to class of every training image.
        wanted: the splits to make, out of VAL and TEST.
        seed: another seed draws another split.
        keys: path to what identifies the image (best its content hash) for all images of the data set. Only these
            decide the draw. An image that is there more than once stays in train: a copy of a test image there would
            make the test too easy.

    Returns:
        path to VAL or TEST; what is not in it stays in train.
    """
    copies = Counter(keys.values())
    by_class: dict[str, list[str]] = defaultdict(list)
    for path, name in train.items():
        by_class[name].append(path)
    drawn: dict[str, Split] = {}
    for paths in by_class.values():
        order = iter(_shuffled((path for path in paths if copies[keys[path]] == 1), seed, keys))
        left = len(paths)
        for split, fraction in _fractions(wanted):
            count = max(1, int(fraction * len(paths) + 0.5)) if left >= MIN_TRAIN else 0
            chosen = [path for path, _ in zip(order, range(count), strict=False)]
            drawn.update(dict.fromkeys(chosen, split))
            left -= len(chosen)
    return drawn


def _shuffled(paths: Iterable[str], seed: int, keys: Mapping[str, str]) -> list[str]:
    return sorted(paths, key=lambda path: hashlib.sha256(f"{seed}:{keys[path]}".encode()).digest())


def _fractions(wanted: Collection[Split]) -> list[tuple[Split, float]]:
    """Test first: it must not depend on whether a validation split is made too."""
    val = VAL_FRACTION if Split.TEST in wanted else VAL_FRACTION_OF_TRAIN
    return [(split, f) for split, f in ((Split.TEST, TEST_FRACTION), (Split.VAL, val)) if split in wanted]
