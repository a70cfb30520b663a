"""How long the rest of a run takes, by a clock that the test moves."""

import pytest

from app.domain.states import Stage
from worker.training.engine.pace import MOST_PROGRESS, Pace, Plan, Planned, StepClock

PLAN = Plan(
    (
        Planned(Stage.PREPARE, "", "decode", 10),
        Planned(Stage.DISTILL, "small", "train", 40),
        Planned(Stage.DISTILL, "large", "train", 120),
        Planned(Stage.EVALUATE, "", "evaluate", 2),
        Planned(Stage.EXPORT, "small", "export onnx", 10),
        Planned(Stage.EXPORT, "small", "export onnx_int8", 15),
        Planned(Stage.EXPORT, "", "publish", 3),
    )
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class TestPlan:
    def test_gives_each_student_its_share_of_a_stage(self) -> None:
        assert PLAN.span(Stage.DISTILL, "small") == (0.0, 0.25)
        assert PLAN.span(Stage.DISTILL, "large") == (0.25, 1.0)
        assert PLAN.span(Stage.DISTILL, "another") is None

    def test_knows_how_far_a_stage_is_after_a_file(self) -> None:
        assert PLAN.end_of(Stage.EXPORT, "small", "export onnx_int8") == pytest.approx(25 / 28)
        assert PLAN.end_of(Stage.EXPORT, "small", "export torchscript") is None


class TestPace:
    def at(self, stage: Stage) -> tuple[Pace, Clock]:
        clock = Clock()
        pace = Pace(clock)
        pace.plan = PLAN
        pace.begin(stage)
        return pace, clock

    def test_knows_nothing_before_there_is_a_plan(self) -> None:
        pace = Pace(Clock())
        pace.begin(Stage.PREPARE)
        pace.at(0.5)
        assert (pace.remaining(), pace.progress()) == (None, 0.0)

    def test_begins_with_what_was_expected(self) -> None:
        pace, _ = self.at(Stage.PREPARE)
        assert pace.remaining() == 200

    def test_follows_the_pace_of_the_stage(self) -> None:
        pace, clock = self.at(Stage.DISTILL)
        for step in range(101):  # half as fast as expected: 160 s for half of it
            pace.at(step / 200)
            clock.now += 1.6
        left = pace.remaining()
        assert left is not None
        assert 155 < left - 30 < 175 + 30  # the other half, and the later stages a little slower

    def test_notices_that_the_machine_has_become_busy(self) -> None:
        pace, clock = self.at(Stage.DISTILL)
        done = 0.0
        for seconds in (0.8,) * 60 + (2.4,) * 40:  # 160 s the whole, then three times as long
            pace.at(done)
            done, clock.now = done + 0.005, clock.now + seconds
        pace.at(done)
        left = pace.remaining()
        assert left is not None
        assert 0.8 * 480 * 0.5 < left < 1.2 * 480 * 0.5 + 60

    def test_measures_a_resumed_stage_from_where_it_goes_on(self) -> None:
        pace, clock = self.at(Stage.DISTILL)
        for step in range(41):
            pace.at(0.5 + step / 200)
            clock.now += 0.8
        left = pace.remaining()
        assert left is not None
        assert left == pytest.approx(0.3 * 160 + 30, rel=0.1)
        assert pace.progress() > 0.5

    def test_counts_files_and_what_follows_them(self) -> None:
        pace, clock = self.at(Stage.EXPORT)
        pace.at(0.0)
        clock.now += 10
        pace.at(PLAN.end_of(Stage.EXPORT, "small", "export onnx") or 0)
        assert pace.remaining() == pytest.approx(18, rel=0.05)
        clock.now += 15
        pace.at(PLAN.end_of(Stage.EXPORT, "small", "export onnx_int8") or 0)
        assert pace.remaining() == pytest.approx(3, rel=0.1)

    def test_progress_agrees_with_what_remains(self) -> None:
        pace, clock = self.at(Stage.PREPARE)
        pace.at(0.0)
        clock.now += 10
        pace.at(1.0)
        pace.begin(Stage.DISTILL)
        told = [pace.progress()]
        for step in range(201):
            pace.at(step / 200)
            left = pace.remaining()
            assert left is not None
            elapsed = clock.now - 100
            assert pace.progress() == pytest.approx(elapsed / (elapsed + left), abs=0.02)
            told.append(pace.progress())
            clock.now += 0.8
        assert told == sorted(told)
        assert told[-1] < 0.9  # files are still to come
        pace.begin(Stage.EXPORT)
        pace.at(1.0)
        assert pace.progress() <= MOST_PROGRESS < 1

    def test_thins_out_what_it_remembers_and_not_how_far_back_it_reaches(self) -> None:
        pace, clock = self.at(Stage.DISTILL)
        for step in range(100_000):
            pace.at(step / 200_000)
            clock.now += 0.0016
        left = pace.remaining()
        assert left is not None
        assert left == pytest.approx(160 + 30, rel=0.1)


class TestStepClock:
    def test_counts_the_steps_of_this_process_alone(self) -> None:
        clock, told = Clock(), []
        steps = StepClock(told.append, clock)
        for step in range(50, 61):  # resumed at half
            steps(step / 100)
            clock.now += 0.5
        assert (steps.count, steps.seconds, steps.of) == (10, 5.0, 100)
        assert told[-1] == 0.6
