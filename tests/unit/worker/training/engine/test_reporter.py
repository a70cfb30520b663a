"""What the run says while it runs."""

import io
import time

from app.domain.progress import IMAGES_PER_SECOND, LINE, MetricLine
from app.domain.states import Stage
from worker.training.engine.reporter import Reporter


def points(out: io.StringIO) -> list[MetricLine]:
    lines = [LINE.validate_json(text) for text in out.getvalue().splitlines()]
    return [line for line in lines if isinstance(line, MetricLine)]


class TestSpeed:
    def test_is_the_jobs_and_begins_with_the_second_point_of_each_student(self) -> None:
        out = io.StringIO()
        reporter = Reporter(out)
        reporter.begin(Stage.DISTILL)
        began = time.monotonic()
        for number, name in enumerate(("a", "b")):
            with reporter.part(name, number, 2, steps=20, images_per_step=1000):
                reporter.metric(10, {"loss": 1.0})
                time.sleep(0.01)
                reporter.metric(20, {"loss": 1.0})
        slowest = 10 * 1000 / (time.monotonic() - began)
        first, second, third, fourth = points(out)
        assert first.values == {"a/loss": 1.0}
        assert third.values == {"b/loss": 1.0}
        for point in (second, fourth):
            assert slowest - 0.1 <= point.values[IMAGES_PER_SECOND] <= 10 * 1000 / 0.01

    def test_is_not_told_where_steps_are_not_counted_in_images(self) -> None:
        out = io.StringIO()
        reporter = Reporter(out)
        reporter.begin(Stage.REPROGRAM)
        for step in (1, 2):
            reporter.metric(step, {"loss": 1.0})
            time.sleep(0.001)
        assert [point.values for point in points(out)] == [{"loss": 1.0}] * 2
