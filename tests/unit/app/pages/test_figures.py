"""What the page of a job says and draws of its result."""

from itertools import pairwise

from app.domain.evaluation import PairedDifference
from app.domain.model_selection import Candidate, Comparison, Constraints, mark_front
from app.pages import figures
from app.pages.knobs import groups, read
from app.pages.rendering import Query, duration, percent, points
from app.pages.verdict import verdict
from tests.unit.app.reports.planted import evaluation


def pair(difference: float, p_value: float) -> PairedDifference:
    return PairedDifference(
        other="teacher", difference=difference, interval=(-0.1, 0.1), only_this=1, only_other=2, p_value=p_value
    )


class TestVerdict:
    def test_says_by_how_much_where_the_images_tell(self) -> None:
        found = evaluation()
        behind = verdict(found.model_copy(update={"paired": (pair(-0.062, 0.016),)}))
        assert "6.2 points behind its teacher (p = 0.016)" in behind
        better = verdict(found.model_copy(update={"paired": (pair(0.062, 0.0001),)}))
        assert "6.2 points better than its teacher (p < 0.001)" in better

    def test_says_that_they_do_not_tell(self) -> None:
        said = verdict(evaluation().model_copy(update={"paired": (pair(-0.01, 0.6),)}))
        assert "no difference to its teacher can be told (−10.0 to +10.0 points)" in said

    def test_names_the_floor_where_there_is_nothing_to_compare_with(self) -> None:
        assert "always answering the most frequent class" in verdict(evaluation().model_copy(update={"paired": ()}))


def comparison(*files: tuple[str, float, float | None]) -> Comparison:
    candidates = [
        Candidate(student="s", file=name, accuracy=accuracy, latency_ms=latency, bytes=1)
        for name, accuracy, latency in files
    ]
    return Comparison(latency="", accuracy="", files=tuple(mark_front(candidates)), choice=None)


class TestTradeoff:
    def test_draws_what_was_timed_and_every_limit(self) -> None:
        wanted = Constraints(max_latency_ms=5.0, min_accuracy=0.7)
        chart = figures.tradeoff(comparison(("a", 0.8, 3.0), ("b", 0.7, 9.0), ("c", 0.9, None)), wanted, "a")
        assert chart is not None and [(dot.file.file, dot.role) for dot in chart.dots] == [("a", "chosen"), ("b", "")]
        fast, slow = chart.dots
        assert fast.x < (chart.latency_limit or 0) < slow.x and fast.y < slow.y
        assert chart.accuracy_limit == slow.y and 0 < slow.x < chart.width

    def test_keeps_the_labels_of_near_files_apart(self) -> None:
        chart = figures.tradeoff(comparison(*((name, 0.8, 3.0) for name in "abcd")), None, None)
        assert chart is not None
        heights = sorted(dot.label_y for dot in chart.dots)
        assert all(b - a >= figures.LINE for a, b in pairwise(heights))

    def test_is_none_where_nothing_was_timed(self) -> None:
        assert figures.tradeoff(comparison(("a", 0.8, None)), None, None) is None


class TestMatrix:
    def test_shades_right_and_wrong_answers_by_their_part_of_the_row(self) -> None:
        rows = figures.matrix(evaluation())
        assert rows is not None
        assert [cell.shade for cell in rows[0]] == ["r2", "w4", ""]

    def test_is_none_where_it_would_not_fit(self) -> None:
        names = [f"c{number}" for number in range(figures.MATRIX_SHOWN + 1)]
        large = evaluation().model_copy(update={"classes": tuple(names)})
        assert figures.matrix(large) is None


class TestKnobs:
    def test_every_option_has_a_text(self) -> None:
        knobs = [knob for _, found in groups().values() for knob in found]
        assert len(knobs) > 40 and all(knob.text for knob in knobs)

    def test_only_what_differs_from_its_default_is_sent(self) -> None:
        sent = {"distill.temperature": "2.0", "distill.batch_size": "64", "views.hflip": "false", "views.mode": ""}
        assert read(sent) == {"distill": {"batch_size": 64}, "views": {"hflip": False}}


def test_words() -> None:
    assert [duration(each) for each in (0.2, 9, 59, 61, 600, 4000, 90_000, 400_000, None)] == [
        "under 1 s", "9 s", "59 s", "61 s", "10 min", "1 h 7 min", "25 h", "5 days", "–",
    ]  # fmt: skip
    assert percent(0.1234) == "12.3\u00a0%" and percent(None) == "–" and points(-0.012) == "−1.2\u00a0points"
    assert Query([("state", "queued"), ("after", "x")]).but(after=None, limit="5") == "?state=queued&limit=5"
