"""Which images of a data set serve what, and the same images decoded.

N images, S side of the stored square in pixels.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from app.domain.dataset import DatasetIndex, Split
from worker.training.data.decoded import Pool
from worker.training.data.records import Records


@dataclass(frozen=True)
class Pools:
    """Which images serve what. Train, validation and test never mix."""

    labelled: Pool
    unlabelled: Pool
    val: Pool
    judged: Pool
    """The images of the final evaluation: test, or val where there is no test."""
    judged_split: Split

    @cached_property
    def training(self) -> Pool:
        """The labelled images, then the unlabelled ones where they are used."""
        return Pool(self.labelled.samples + self.unlabelled.samples)


@dataclass(frozen=True)
class Images:
    """The pools, decoded at the student's size; nothing but names where no student is trained."""

    index: DatasetIndex
    pools: Pools
    squares: Records
    """Of `pools.training`: uint8 [N, S, S, 3], a little over the student's size."""
    val_squares: Any
    """`Records` too, which evaluation and export read like an array: a few rows at a time."""
    judged_squares: Any
    """At exactly the student's size, by the preprocessing that users are told."""
