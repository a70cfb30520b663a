"""Where one image belongs."""

from dataclasses import dataclass

from app.domain.dataset import Split


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one image belongs."""

    split: Split
    label: str | None
    """The class's name; None exactly for unlabelled images."""
