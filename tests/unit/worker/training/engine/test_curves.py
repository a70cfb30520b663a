from pathlib import Path

from app.domain.progress import MetricLine
from app.domain.states import Stage
from worker.training.engine.curves import CURVES_NAME, Curves
from worker.training.engine.reporter import Reporter


def point(stage: Stage, step: int, loss: float) -> MetricLine:
    return MetricLine(stage=stage, step=step, values={"loss": loss})


class TestCurves:
    def test_a_later_attempt_goes_on_and_has_the_last_word(self, tmp_path: Path) -> None:
        first, second = Curves(tmp_path), Curves(tmp_path)
        first.add("", point(Stage.DISTILL, 10, 3.0))
        first.add("", point(Stage.DISTILL, 20, 2.0))
        first.add("", point(Stage.REPROGRAM, 5, 9.0))
        second.add("", point(Stage.DISTILL, 20, 1.0))
        assert [(p.stage, p.step, p.values["loss"]) for p in second.points("")] == [
            (Stage.REPROGRAM, 5, 9.0),
            (Stage.DISTILL, 10, 3.0),
            (Stage.DISTILL, 20, 1.0),
        ]

    def test_half_a_line_is_passed_over(self, tmp_path: Path) -> None:
        curves = Curves(tmp_path)
        curves.add("", point(Stage.DISTILL, 1, 1.0))
        with (tmp_path / CURVES_NAME).open("a") as file:
            file.write('{"part": "", "line": {"type": "met')
        assert len(curves.points("")) == 1

    def test_of_several_students_each_has_its_own_as_if_it_were_alone(self, tmp_path: Path) -> None:
        reporter = Reporter((tmp_path / "lines").open("w"))
        curves = Curves(tmp_path)
        reporter.record = curves.add
        reporter.begin(Stage.REPROGRAM)
        reporter.metric(5, {"loss": 9.0})
        reporter.begin(Stage.DISTILL)
        for number, name in enumerate(("one", "two")):
            with reporter.part(name, number, 2, steps=10, images_per_step=4):
                reporter.metric(10, {"loss": float(number)})
        assert [(p.step, p.values) for p in curves.points("two")] == [(5, {"loss": 9.0}), (10, {"loss": 1.0})]
