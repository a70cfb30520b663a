"""A run's curves on disk, so that what is drawn at its end has what earlier attempts learned too."""

from pathlib import Path

from pydantic import ValidationError

from app.domain.base import Frozen
from app.domain.progress import MetricLine
from app.domain.states import Stage

CURVES_NAME = "curves.jsonl"


class _Point(Frozen):
    part: str
    """The student it is of, where the job has several; else empty."""
    line: MetricLine
    """With names and steps as of a job that trains this student alone."""


class Curves:
    """The points of a run. Like the checkpoints, they are not published."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / CURVES_NAME

    def add(self, part: str, line: MetricLine) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_Point(part=part, line=line).model_dump_json() + "\n")

    def points(self, part: str) -> list[MetricLine]:
        """What this student went through: the shared stages and its own part, by stage and step. Where a resumed
        attempt went over a step again, its word counts."""
        points: dict[tuple[Stage, int], MetricLine] = {}
        if self._path.is_file():
            for text in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    point = _Point.model_validate_json(text)
                except ValidationError:  # half a line, of an attempt that was killed as it wrote it
                    continue
                if point.part in {"", part}:
                    points[point.line.stage, point.line.step] = point.line
        return [points[key] for key in sorted(points, key=lambda key: (_ORDER[key[0]], key[1]))]


_ORDER = {stage: place for place, stage in enumerate(Stage)}
