"""Every drawing is parsed, and searched for what it must show and what it must not hold."""

from xml.etree import ElementTree

import pytest

from app.domain.progress import MetricLine
from app.domain.states import Stage
from tests.unit.app.reports.planted import evaluation
from worker.training.report.charts.classes import class_bars
from worker.training.report.charts.confusion import MOST_CLASSES, confusion_matrix
from worker.training.report.charts.curves import training_curves
from worker.training.report.charts.drawing import Drawing, percent, shortened
from worker.training.report.charts.reliability import reliability_diagram

SVG = "{http://www.w3.org/2000/svg}"
EVIL = '"><script>alert(1)</script>$x$'


def texts(drawing: Drawing) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(drawing.file()).iter(f"{SVG}text")]


def curves(*points: tuple[Stage, int, dict[str, float]]) -> Drawing | None:
    return training_curves([MetricLine(stage=stage, step=step, values=values) for stage, step, values in points])


class TestConfusionMatrix:
    def test_tells_counts_and_names(self) -> None:
        shown = texts(confusion_matrix([[1, 3], [0, 25]], ("cat", "dog"), "student"))
        assert [text for text in shown if text.isdigit()] == ["1", "3", "25"]
        assert shown.count("cat") == shown.count("dog") == 2

    def test_every_cell_tells_what_it_is(self) -> None:
        assert (
            "<title>cat → dog: 3 of 4 (75 %)</title>"
            in confusion_matrix([[1, 3], [0, 25]], ("cat", "dog"), "student").file()
        )

    def test_draws_only_what_happened(self) -> None:
        count = 100
        drawing = confusion_matrix(
            [[int(a == b) for b in range(count)] for a in range(count)], [f"c{k}" for k in range(count)], "student"
        )
        rectangles = [e.get("class") for e in ElementTree.fromstring(drawing.file()).iter(f"{SVG}rect")]
        assert rectangles.count("one") == count + 1  # and the legend's
        assert rectangles.count("two") == 1

    def test_shows_the_classes_with_the_most_mistakes_where_there_are_too_many(self) -> None:
        count = MOST_CLASSES + 30
        confusion = [[0] * count for _ in range(count)]
        for k in range(count):
            confusion[k][k if k < 40 else k - 1] = 2
        shown = texts(confusion_matrix(confusion, [f"c{k}" for k in range(count)], "student"))
        assert f"the {MOST_CLASSES} of {count} classes" in " ".join(shown)
        assert "c100" in shown
        assert "c0" in shown
        assert "c38" not in shown


class TestClassBars:
    def test_begin_with_the_weakest_and_leave_out_what_was_not_tested(self) -> None:
        found = evaluation()
        assert found.student is not None
        shown = texts(class_bars(found.student, found.teacher, "student"))
        assert [text for text in shown if text in {"cat", "dog", "cow"}] == ["cat", "dog"]
        assert "25 % of 4" in shown
        assert "100 % of 3" in shown


class TestReliability:
    def test_tells_the_errors_of_both(self) -> None:
        found = evaluation()
        assert found.student is not None
        shown = texts(reliability_diagram(found.student, found.teacher, "student"))
        assert "student: ECE 20 %" in shown
        assert "teacher: ECE 20 %" in shown
        assert not [text for text in texts(reliability_diagram(found.student, None, "probe")) if "teacher" in text]


class TestCurves:
    def test_end_with_their_last_value(self) -> None:
        drawing = curves(
            *((Stage.DISTILL, step, {"loss": 5 / step, "val_accuracy": 1 - 1 / step}) for step in (1, 2, 4, 8))
        )
        assert drawing is not None
        shown = texts(drawing)
        assert {"0.625", "87.5 %", "step 8"} <= set(shown)

    def test_one_point_is_no_curve(self) -> None:
        assert curves((Stage.REPROGRAM, 500, {"loss": 1.0})) is None

    def test_a_flat_one_is_drawn_too(self) -> None:
        assert curves((Stage.DISTILL, 1, {"loss": 0.0}), (Stage.DISTILL, 2, {"loss": 0.0})) is not None


class TestDrawings:
    def every(self, name: str) -> list[Drawing]:
        found = evaluation((name, "dog", "cow"))
        assert found.student is not None
        return [
            confusion_matrix(found.student.confusion, found.classes, "student"),
            class_bars(found.student, found.teacher, "student"),
            reliability_diagram(found.student, found.teacher, "student"),
        ]

    def test_names_are_text_and_nothing_else(self) -> None:
        for drawing in self.every(EVIL):
            tree = ElementTree.fromstring(drawing.file())
            assert {element.tag for element in tree.iter()} <= {
                f"{SVG}{tag}" for tag in ("svg", "title", "style", "rect", "circle", "line", "polyline", "text")
            }

    def test_load_nothing_and_are_the_same_each_time(self) -> None:
        for one, other in zip(self.every("cat"), self.every("cat"), strict=True):
            assert one.file() == other.file()
            assert "http" not in one.file().replace("http://www.w3.org/2000/svg", "")
            assert "url(" not in one.file()

    def test_a_name_cannot_break_the_file(self) -> None:
        for drawing in self.every("a\x00\u202eb\x1b\ud800"):
            ElementTree.fromstring(drawing.file())

    @pytest.mark.parametrize(("share", "words"), [(0.0, "0 %"), (0.004, "0.4 %"), (0.996, "99.6 %"), (1.0, "100 %")])
    def test_nearly_nothing_is_not_nothing(self, share: float, words: str) -> None:
        assert percent(share) == words

    def test_long_names_keep_both_ends(self) -> None:
        assert shortened("Tropicana-Mandarin-Morning", 12) == "Tropic…rning"
        assert shortened("short", 12) == "short"
