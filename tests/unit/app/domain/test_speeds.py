"""What can be said of work from what was measured."""

import pytest

from app.domain.spec import TrainingSpec
from app.domain.speeds import Known, Speeds, Work
from app.domain.states import Stage
from app.domain.workload import Counts, pieces, stage_costs, training_way, views_of_teacher

ARITHMETIC = {"tiny": 1e7, "small": 1e8, "large": 1e9, "huge": 1e11}


def weight(architecture: str, size: int) -> float | None:
    found = ARITHMETIC.get(architecture)
    return None if found is None else found * (size / 100) ** 2


def train(architecture: str, *amounts: float, size: int = 100, how: str = "", of_jobs: bool = False) -> Known:
    return Known(Work.TRAIN, architecture, size, how, amounts, of_jobs)


class TestSpeeds:
    def test_say_nothing_of_what_nobody_measured(self) -> None:
        assert Speeds(()).of_network(Work.TRAIN, "small", 100) is None
        assert Speeds([train("tiny", 0.001)], weight).of_network(Work.FORWARD, "tiny", 100) is None
        assert Speeds([train("tiny", 0.001)], weight).of_network(Work.TRAIN, "unheard of", 100) is None

    def test_take_what_was_measured_in_the_same_way_first(self) -> None:
        rows = [train("small", 0.01), train("small", 0.02, 0.02, 0.03, how="tdmr muon 32", of_jobs=True)]
        speeds = Speeds(rows, weight)
        found = speeds.of_network(Work.TRAIN, "small", 100, "tdmr muon 32")
        assert found is not None
        assert found.expected == 0.02
        assert found.low <= min(rows[1].amounts)
        assert found.high >= max(rows[1].amounts)
        other = speeds.of_network(Work.TRAIN, "small", 100, "kd adamw 64")
        assert other is not None  # what jobs say goes before what was measured in idle time
        assert other.expected == 0.02

    def test_scale_a_network_to_another_size_by_its_arithmetic(self) -> None:
        found = Speeds([train("small", 0.01)], weight).of_network(Work.TRAIN, "small", 200)
        assert found is not None
        assert found.expected == pytest.approx(0.04)

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


SPEC = TrainingSpec(method="scratch", student="small", image_size=100, export={"formats": ["onnx"], "measure": False})
COUNTS = Counts(labelled=200, unlabelled=0, val=50, judged=40, decodes=290, teacher_views=0)
PIECES_OF_A_JOB = [
    train("small", 0.001, how=training_way(SPEC), of_jobs=True),
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
            sum(piece.units for piece in pieces(spec, COUNTS, teacher=("large", 224), live=how) if piece.size == 224)
            for how in (False, True)
        )
        assert (cached, live) == (0, 150_000)
        assert views_of_teacher(spec, COUNTS, live=False) == 200 * (4 + 4) + 50 + 40
