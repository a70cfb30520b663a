"""What can be said of work from what was measured."""

from collections.abc import Sequence

import pytest

from app.domain.spec import TrainingSpec
from app.domain.speeds import Known, Speeds, Work
from app.domain.states import Stage
from app.domain.workload import (
    SMALL_BATCH,
    Asked,
    Counts,
    images_a_step,
    pieces,
    stage_costs,
    training_way,
    views_of_teacher,
)

ARITHMETIC = {"tiny": 1e7, "small": 1e8, "large": 1e9, "huge": 1e11}


def weight(architecture: str, size: int) -> float | None:
    found = ARITHMETIC.get(architecture)
    return None if found is None else found * (size / 100) ** 2


def train(architecture: str, *amounts: float, size: int = 100, how: str = "", of_jobs: bool = False) -> Known:
    return Known(Work.TRAIN, architecture, size, how, amounts, of_jobs)


def learn(architecture: str, amount: float, size: int = 100) -> Known:
    return Known(Work.LEARN, architecture, size, "", (amount,), False)


def step(architecture: str, amount: float, optimiser: str) -> Known:
    return Known(Work.STEP, architecture, 0, optimiser, (amount,), False)


class TestSpeeds:
    def test_say_nothing_of_what_nobody_measured(self) -> None:
        assert Speeds(()).of_network(Work.TRAIN, "small", 100) is None
        assert Speeds([train("tiny", 0.001)], weight).of_network(Work.FORWARD, "tiny", 100) is None
        assert Speeds([train("tiny", 0.001)], weight).of_network(Work.TRAIN, "unheard of", 100) is None

    def test_scale_a_network_to_another_size_by_its_arithmetic(self) -> None:
        found = Speeds([train("small", 0.01)], weight).of_network(Work.TRAIN, "small", 200)
        assert found is not None
        assert found.expected == pytest.approx(0.04)

    def test_go_from_the_nearest_size_along_the_line_of_a_network_that_was_measured_at_several(self) -> None:
        rows = [train("small", 0.01, size=64), train("small", 0.02, size=128), train("small", 9.0, size=500)]
        found = Speeds(rows, weight).of_network(Work.TRAIN, "small", 32)
        assert found is not None
        assert found.expected == pytest.approx(0.005)  # twice the time for four times the arithmetic

    def test_read_other_networks_off_a_line(self) -> None:
        rows = [train("tiny", 0.001), train("small", 0.008)]
        found = Speeds(rows, weight).of_network(Work.TRAIN, "large", 100)
        assert found is not None
        assert found.expected == pytest.approx(0.064, rel=0.01)
        assert found.low < 0.05
        assert found.high > 0.08

    def test_are_less_sure_of_a_network_where_only_one_other_is_known(self) -> None:
        one = Speeds([train("tiny", 0.001)], weight).of_network(Work.TRAIN, "small", 100)
        two = Speeds([train("tiny", 0.001), train("large", 0.1)], weight).of_network(Work.TRAIN, "small", 100)
        assert one is not None
        assert two is not None
        assert one.expected == pytest.approx(0.01)
        assert one.high / one.low > two.high / two.low


class TestTraining:
    ROWS = (learn("tiny", 0.001), learn("small", 0.01), step("tiny", 0.032, "muon"), step("tiny", 0.0032, "adamw"))

    def expected(self, rows: Sequence[Known], architecture: str, how: str, size: int = 100) -> float | None:
        found = Speeds(rows, weight).of_training(architecture, size, how)
        return None if found is None else found.expected

    def test_jobs_of_the_same_kind_have_the_first_word(self) -> None:
        rows = [*self.ROWS, train("tiny", 0.02, 0.02, 0.03, how="tdmr muon 32", of_jobs=True)]
        found = Speeds(rows, weight).of_training("tiny", 100, "tdmr muon 32")
        assert found is not None
        assert found.expected == 0.02
        assert found.low <= 0.02
        assert found.high >= 0.03

    def test_another_batch_and_optimiser_share_out_another_step(self) -> None:
        rows = [*self.ROWS, train("tiny", 0.005, how="kd muon 32")]  # 0.003 beside forward, backward and optimiser
        assert self.expected(rows, "tiny", "kd muon 64") == pytest.approx(0.001 + 0.0005 + 0.003)
        assert self.expected(rows, "tiny", "kd adamw 32") == pytest.approx(0.001 + 0.0001 + 0.003)
        assert self.expected(rows, "tiny", "kd lamb 32") == self.expected(rows, "tiny", "kd adamw 32")

    def test_what_is_beside_the_network_grows_with_the_pixels_and_not_with_the_network(self) -> None:
        rows = [*self.ROWS, step("small", 0.064, "muon"), train("tiny", 0.005, how="kd muon 32")]
        assert self.expected(rows, "small", "kd muon 32") == pytest.approx(0.01 + 0.002 + 0.003)
        large = [*rows, learn("tiny", 0.004, size=200)]
        assert self.expected(large, "tiny", "kd muon 32", size=200) == pytest.approx(0.004 + 0.001 + 4 * 0.003)

    def test_jobs_of_the_same_method_tell_best_what_is_beside_it(self) -> None:
        rows = [*self.ROWS, train("tiny", 0.005, how="kd muon 32"), train("tiny", 0.003, how="scratch muon 32")]
        assert self.expected(rows, "tiny", "scratch muon 64") == pytest.approx(0.001 + 0.0005 + 0.001)
        assert self.expected(rows, "tiny", "tdmr muon 64") == pytest.approx(0.001 + 0.0005 + 0.002)

    def test_nothing_is_said_before_there_was_a_job_and_a_measurement(self) -> None:
        assert self.expected(self.ROWS, "tiny", "kd muon 32") is None
        assert self.expected([train("tiny", 0.005, how="kd muon 32")], "tiny", "kd muon 64") is None
        older = [train("tiny", 0.005), *self.ROWS]  # as versions before have told it
        assert self.expected(older, "tiny", "kd muon 64") is None


SPEC = TrainingSpec(method="scratch", student="small", image_size=100, export={"formats": ["onnx"], "measure": False})
COUNTS = Counts(labelled=200, unlabelled=0, val=50, judged=40, decodes=290)
PIECES_OF_A_JOB = [
    train("small", 0.001, how=training_way(SPEC, 200), of_jobs=True),
    Known(Work.START, "", 0, "", (5.0,), False),
    Known(Work.DECODE, "", 0, "", (0.01,), False),
    Known(Work.FORWARD, "small", 100, "", (0.0003,), True),
    Known(Work.EVALUATE, "", 0, "", (0.002,), True),
    Known(Work.EXPORT, "onnx", 0, "", (9.0,), True),
    Known(Work.DESCRIBE, "", 0, "", (2.0,), True),
]


class TestStageCosts:
    def test_add_up_what_a_job_has_to_do(self) -> None:
        costs = stage_costs(pieces(SPEC, COUNTS), Speeds(PIECES_OF_A_JOB, weight))
        expected = {stage: cost.seconds.expected for stage, cost in costs.items() if cost.seconds}
        assert expected == {
            Stage.PREPARE: pytest.approx(5 + 2.9),
            Stage.DISTILL: pytest.approx(150_000 * 0.001 + 20 * 50 * 0.0003),
            Stage.EVALUATE: pytest.approx(0.08),
            Stage.EXPORT: pytest.approx(11),
        }

    def test_say_what_is_not_known(self) -> None:
        rows = [row for row in PIECES_OF_A_JOB if row.work is not Work.EXPORT]
        cost = stage_costs(pieces(SPEC, COUNTS), Speeds(rows, weight))[Stage.EXPORT]
        assert cost.seconds is None
        assert cost.unknown == "no worker has measured 'export' of 'onnx' yet"

    def test_a_teacher_that_answers_live_costs_an_answer_an_image_step(self) -> None:
        spec = TrainingSpec(teacher="large", student="small", image_size=100)
        cached, live = (
            sum(
                piece.units
                for piece in pieces(spec, COUNTS, teachers=[Asked("large", 224, 0)], live=how)
                if piece.size == 224
            )
            for how in (False, True)
        )
        assert (cached, live) == (0, 150_000)
        assert views_of_teacher(spec, COUNTS, live=False) == 200 * (4 + 4) + 50 + 40
        many = COUNTS._replace(labelled=3068, unlabelled=700)
        assert views_of_teacher(spec, many, live=False) == 3068 * (4 + 1) + 700 * (4 + 1) + 50 + 40

    @pytest.mark.parametrize(("method", "adaptations"), [("tdmr", 3), ("kd", 1)])
    @pytest.mark.parametrize("live", [False, True])
    def test_of_several_teachers_each_is_asked_and_then_all_are_read_together(
        self, live: bool, method: str, adaptations: int
    ) -> None:
        spec = TrainingSpec(teachers=["large", "huge"], student="small", image_size=100, method=method)
        asked = [Asked("large", 224, 30), Asked("huge", 518, 70)]
        work = list(pieces(spec, COUNTS, teachers=asked, live=live))
        views = [(piece.stage, piece.subject, piece.units) for piece in work if piece.size in (224, 518)]
        first = [(Stage.PREPARE, "large", 30), (Stage.PREPARE, "huge", 70)]
        assert views == first + [(Stage.DISTILL, name, 150_000) for name in ("large", "huge") if live]
        steps = {piece.subject: piece.units for piece in work if piece.work is Work.REPROGRAM}
        assert set(steps.values()) == {500 * adaptations}


def test_a_step_has_as_many_images_as_are_asked_for_and_there() -> None:
    asked = [1, 32, 100, 8192]
    given = [SPEC.model_copy(update={"distill": SPEC.distill.model_copy(update={"batch_size": n})}) for n in asked]
    assert [images_a_step(spec, 1000) for spec in given] == [1, 32, 100, 1000]
    assert [images_a_step(spec, 3) for spec in given] == [1, 32, SMALL_BATCH, SMALL_BATCH]
