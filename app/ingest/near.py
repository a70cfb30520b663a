"""Near duplicates: the same picture saved twice, in another size, quality or format.

Candidates share one of four 16-bit parts of their difference hashes and differ in at most three bits of all; by the
pigeonhole principle three bits cannot touch four parts. Their patches then decide. Each picture is compared with a
bounded number of others, so the cost grows with n, not n².
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

MAX_BITS = 3
"""Of 64 that may differ: a copy at half the size or at JPEG quality 40 changes 0 to 3."""
MAX_LEVELS = 3.0
"""Mean difference of the 8 × 8 patches, of 255 levels, up to which two pictures are taken for the same."""
_BANDS = 4
_WINDOW = 16
"""A picture is compared with this many neighbours in each band's order."""
_AT_ONCE = 2**18

Pairs = npt.NDArray[np.int64]


def near_groups(hashes: Sequence[int], patches: Sequence[bytes]) -> list[list[int]]:
    """Groups of rows that show the same picture, rows rising; rows without a near duplicate are in none.

    Args:
        hashes: 64 bits each.
        patches: of equal length, one byte for each level.
    """
    if len(hashes) < 2:
        return []
    values = np.array(hashes, dtype=np.uint64)
    levels = np.frombuffer(b"".join(patches), dtype=np.uint8).reshape(len(patches), -1)
    leader = np.arange(len(values))
    for pairs in (_alike(_candidates(values, band), levels) for band in range(_BANDS)):
        for one, other in pairs.tolist():
            first, second = sorted((_leader(leader, one), _leader(leader, other)))
            leader[second] = first
    groups: dict[int, list[int]] = defaultdict(list)
    for row in range(len(values)):
        groups[_leader(leader, row)].append(row)
    return [rows for rows in groups.values() if len(rows) > 1]


def _candidates(values: npt.NDArray[np.uint64], band: int) -> Pairs:
    """Pairs [P, 2] of close neighbours with the same 16 bits at `band`, but at none before, and at most three others
    apart."""
    turned = _turned(values, band)
    order = np.argsort(turned, kind="stable")
    turned = turned[order]
    found = []
    for distance in range(1, min(_WINDOW, len(values) - 1) + 1):
        apart = turned[distance:] ^ turned[:-distance]
        same_band = apart >> np.uint64(48) == 0
        if not same_band.any():  # no longer run of equal parts
            break
        new = np.logical_and.reduce([_turned(apart, before - band) >> np.uint64(48) != 0 for before in range(band)])
        at = np.flatnonzero(same_band & new & (np.bitwise_count(apart) <= MAX_BITS))
        found.append(np.stack([order[at], order[at + distance]], axis=1))
    return np.concatenate(found) if found else np.empty((0, 2), dtype=np.int64)


def _turned(values: npt.NDArray[np.uint64], bands: int) -> npt.NDArray[np.uint64]:
    """With part number `bands` in front."""
    up = 16 * (bands % _BANDS)
    return (values << np.uint64(up)) | (values >> np.uint64(64 - up)) if up else values


def _alike(pairs: Pairs, levels: npt.NDArray[np.uint8]) -> Pairs:
    """Those whose patches differ by little."""
    kept = []
    for start in range(0, len(pairs), _AT_ONCE):
        some = pairs[start : start + _AT_ONCE]
        apart = np.abs(levels[some[:, 0]].astype(np.int16) - levels[some[:, 1]])
        kept.append(some[apart.mean(axis=1) <= MAX_LEVELS])
    return np.concatenate(kept) if kept else pairs


def _leader(leader: npt.NDArray[np.int64], row: int) -> int:
    """The root of a row's tree, shortening the way there (union–find)."""
    while leader[row] != row:
        leader[row] = leader[leader[row]]
        row = int(leader[row])
    return row
