"""The plot of accuracy against latency, as it is drawn: what is named, and that it can be read."""

import itertools
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from app.domain.model_selection import Candidate, Comparison, Constraints, choose, mark_front
from worker.training.report.pareto import draw_pareto, pareto_figure


def comparison(files: list[Candidate], constraints: Constraints | None = None) -> Comparison:
    return Comparison(
        latency="Median of the timed calls with one image on the worker's CPU (a processor), 2 threads.",
        accuracy="Top-1 on 372 test images.",
        files=tuple(mark_front(files)),
        choice=None if constraints is None else choose(files, constraints),
    )


def candidate(student: str, accuracy: float, latency_ms: float | None, size: int, suffix: str = "onnx") -> Candidate:
    return Candidate(
        student=student,
        file=f"{student}/student.{suffix}",
        accuracy=accuracy,
        accuracy_interval=(accuracy - 0.03, accuracy + 0.03),
        latency_ms=latency_ms,
        bytes=size,
    )


SMALL = candidate("small.tag", 0.86, 2.1, 2_300_000)
SMALL_TS = candidate("small.tag", 0.86, 3.4, 2_500_000, "ts")
SMALL_INT8 = candidate("small.tag", 0.83, 1.6, 900_000, "int8.onnx")
LARGE = candidate("large", 0.90, 9.5, 44_700_000)
POOR = candidate("poor", 0.85, 12.0, 22_000_000)
FILES = [SMALL, SMALL_TS, SMALL_INT8, LARGE, POOR]


def labels(figure: Figure) -> list[Annotation]:
    """Those of the dots."""
    (axis,) = figure.axes
    return [text for text in axis.texts if isinstance(text, Annotation) and text.xycoords == "data"]


def box_of(label: Annotation, renderer: RendererAgg) -> Bbox:
    """Of the text alone, without the line that leads to its dot."""
    label.update_positions(renderer)
    return Text.get_window_extent(label, renderer)


class TestPlot:
    def test_names_the_front_and_the_best_file_of_each_student(self) -> None:
        assert {label.get_text() for label in labels(pareto_figure(comparison(FILES)))} == {
            "small\nONNX, 2.3 MB",
            "small\nint8 ONNX, 900 kB",
            "large\nONNX, 44.7 MB",
            "poor\nONNX, 22 MB",
        }

    @pytest.mark.parametrize(("latest", "says"), [(10, "chosen: large"), (1, "closest: small")])
    def test_shows_the_limits_and_the_answer(self, latest: float, says: str) -> None:
        figure = pareto_figure(comparison(FILES, Constraints(max_latency_ms=latest)))
        said = [text.get_text() for text in figure.axes[0].texts]
        assert any(text.startswith(says) for text in said)
        assert f" max {latest} ms" in said

    @pytest.mark.parametrize("students", [1, 4, 16])
    def test_no_label_hides_another_or_leaves_the_axes(self, students: int) -> None:
        files = []
        for number in range(students):  # close together, as students of one size are
            name, latency = f"architecture_{number:02d}_of_some_size", 1.5 * 1.2**number
            accuracy = 0.8 + 0.01 * number + 0.02 * (number % 3)
            files += [
                candidate(name, accuracy, latency, 1_000_000 * (1 + number)),
                candidate(name, accuracy, latency * 1.5, 1_000_000 * (1 + number), "ts"),
                candidate(name, accuracy - 0.01, latency * 0.7, 300_000 * (1 + number), "int8.onnx"),
            ]
        figure = pareto_figure(comparison(files))
        renderer = FigureCanvasAgg(figure).get_renderer()
        inside = figure.axes[0].get_window_extent(renderer)
        boxes = [box_of(label, renderer) for label in labels(figure)]
        assert len(boxes) >= students
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
        for box in boxes:
            assert inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1

    def test_is_the_same_file_for_the_same_figures_and_knows_no_date(self, tmp_path: Path) -> None:
        for name in ("one.svg", "other.svg"):
            draw_pareto(comparison([*FILES, candidate("untimed", 0.9, None, 1)]), tmp_path / name)
        one, other = ((tmp_path / name).read_bytes() for name in ("one.svg", "other.svg"))
        assert one == other
        assert b"<svg" in one
        assert b"<dc:date>" not in one
