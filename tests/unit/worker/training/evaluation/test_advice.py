from collections.abc import Sequence

import numpy as np
import pytest

from app.domain.dataset import Split
from app.domain.progress import MetricLine
from app.domain.states import Stage
from worker.training.evaluation.advice import Advice, advise
from worker.training.evaluation.metrics import compare

LABELS = np.tile([0, 0, 1, 1], 25)
RIGHT = np.eye(2)[LABELS]


def right_in(images: int) -> np.ndarray:
    """Logits that are right for so many of the 100 images, of both classes alike."""
    wrong = np.arange(100) >= images
    return np.eye(2)[np.where(wrong, 1 - LABELS, LABELS)]


def curve(losses: Sequence[float], stage: Stage = Stage.DISTILL) -> list[MetricLine]:
    return [MetricLine(stage=stage, step=step, values={"loss": loss}) for step, loss in enumerate(losses, 1)]


def advice(
    student: np.ndarray | None,
    points: Sequence[MetricLine] = (),
    *,
    split: Split = Split.TEST,
    **others: np.ndarray,
) -> dict[str, Advice]:
    content = compare(split=split, classes=["a", "b"], labels=LABELS, train_labels=LABELS, student=student, **others)
    return {found.code: found for found in advise(content, points, "scratch")}


class TestAdvise:
    def test_a_sound_job_needs_none(self) -> None:
        assert advice(right_in(90), curve(np.geomspace(3, 0.1, 50)), teacher=right_in(95), probe=right_in(94)) == {}

    @pytest.mark.parametrize(("images", "warned"), [(50, True), (58, True), (62, False)])
    def test_a_student_that_may_be_no_better_than_one_answer_for_all(self, images: int, warned: bool) -> None:
        """Of 100 images 50 are of the most frequent class, and 60 hits have an interval from 50.2 %."""
        found = advice(right_in(images)).get("student_no_better_than_majority")
        assert (found is not None and found.warning) == warned
        if found is not None:
            assert f"right in {images}.0%" in found.message
            assert "right in 50.0%" in found.message

    @pytest.mark.parametrize(
        ("losses", "warned"),
        [
            (np.linspace(1, 2, 50), True),
            ([9, *np.linspace(1, 3, 49)], True),  # the first step says little
            (np.geomspace(3, 0.1, 50), False),
            ([1, 1.5, *np.linspace(1, 0.5, 48)], False),  # a warm-up
            ([1, 2], False),
            ([], False),
        ],
    )
    def test_a_loss_that_ended_higher_than_it_began(self, losses: Sequence[float], warned: bool) -> None:
        assert ("loss_rose" in advice(RIGHT, curve(losses))) == warned

    def test_another_stage_is_not_looked_at(self) -> None:
        assert advice(RIGHT, curve(np.linspace(1, 2, 50), Stage.REPROGRAM)) == {}

    @pytest.mark.parametrize(("teacher", "warned"), [(80, True), (89, True), (90, False), (95, False)])
    def test_a_teacher_that_lost_to_its_own_probe(self, teacher: int, warned: bool) -> None:
        found = advice(right_in(70), teacher=right_in(teacher), probe=right_in(90)).get("teacher_below_probe")
        assert (found is not None and found.warning) == warned
        if found is not None:
            assert f"is right in {teacher}.0%, a linear probe on the same teacher in 90.0%" in found.message


class TestBeyondTeacher:
    BETTER, WORSE = right_in(95), right_in(75)

    def test_a_student_above_its_teacher_may_do_better_alone(self) -> None:
        found = advice(self.BETTER, teacher=self.WORSE, probe=self.BETTER)["student_beyond_teacher"]
        assert "the test images the student is right in 95.0%, its reprogrammed teacher in 75.0%" in found.message
        assert "the method `scratch`" in found.message
        assert not found.warning

    def test_without_a_proxy_space_the_probe_is_the_teacher(self) -> None:
        found = advice(self.BETTER, probe=self.WORSE)["student_beyond_teacher"]
        assert "the probe on its teacher in 75.0%" in found.message

    def test_else_there_is_nothing_to_say(self) -> None:
        assert "student_beyond_teacher" not in advice(self.BETTER, teacher=self.BETTER, probe=self.WORSE)
        assert advice(self.WORSE, teacher=self.BETTER) == {}
        assert advice(self.BETTER) == {}
        assert advice(None, probe=self.WORSE) == {}
        # training images say nothing about who knows more
        assert advice(self.BETTER, split=Split.TRAIN, teacher=self.WORSE, probe=self.WORSE) == {}
