"""What a sweep over timm's architectures found impossible: `compatibility.json`, which benchmarks/models/zoo.py makes.

Only what was tried is refused, and only where the network itself was the reason: too slow or too large for the sweep is
no reason, as another machine may have the time and the memory.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

REFUSALS = Path(__file__).with_name("compatibility.json")


@dataclass(frozen=True)
class Refusal:
    """What one architecture cannot do, each with its reason for a person."""

    teacher: str | None = None
    student: str | None = None
    formats: Mapping[str, str] = field(default_factory=dict)
    """By the format's name in a job."""
    sizes: tuple[int, ...] = ()
    """Sides in pixels that a student of it does not take, of those tried."""
    takes: int | None = None
    """The smallest of those tried that it does take."""


NOTHING = Refusal()


def read_refusals(path: Path = REFUSALS) -> dict[str, Refusal]:
    """By architecture."""
    rows = json.loads(path.read_bytes())
    return {name: Refusal(**{**row, "sizes": tuple(row.get("sizes", ()))}) for name, row in rows.items()}


def write_refusals(refusals: Mapping[str, Refusal], path: Path = REFUSALS) -> None:
    """One line an architecture, without what is not refused."""
    rows = (
        f"{json.dumps(name)}: {json.dumps({key: value for key, value in asdict(refusal).items() if value})}"
        for name, refusal in sorted(refusals.items())
    )
    path.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
