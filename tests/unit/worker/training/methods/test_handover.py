import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from app.domain.config import DistillConfig
from app.domain.runtime import RuntimeConfig
from app.domain.spec import TrainingSpec
from app.reading.layout import index_folder
from tests.unit.worker.training.conftest import Outcome, image_folder
from tests.unit.worker.training.test_pipeline import weights_of
from worker.training.engine.prefetch import DEPTH, prefetched
from worker.training.engine.reporter import Reporter
from worker.training.methods.batches import BatchSource
from worker.training.methods.handover import CE_WEIGHT, KD_WEIGHT, LABEL_SHARE, Handover
from worker.training.methods.tdmr import handed_over, weights_at
from worker.training.models.networks import StudentAnswer
from worker.training.prepare import prepare
from worker.training.run import Run

Specs = Callable[..., TrainingSpec]
Runs = Callable[..., Outcome]


def knows(ce: float) -> Tensor:
    """Logits of one image of class 0, with that cross-entropy."""
    return torch.tensor([[-math.log(math.expm1(ce)), 0.0]])


def handover(teacher_ce: float, steps: int) -> Handover:
    return Handover(knows(teacher_ce), torch.tensor([0]), steps)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image folder with validation images, which tell when the student has passed its teacher."""
    return image_folder(tmp_path_factory.mktemp("judged"), train=4, val=4, test=2)


@pytest.fixture
def ignorant(spec: Specs) -> TrainingSpec:
    """A job whose teacher has learned next to nothing in stage 1, and is soon passed."""
    return spec(
        reprogram={"steps": 1, "learning_rate": 1e-6, "image_size": 32, "self_training": 0},
        distill={"image_steps": 960, "batch_size": 16},
    )


class TestHandover:
    def test_nothing_happens_while_the_teacher_knows_more(self) -> None:
        lead = handover(0.5, 100)
        assert not lead.notice(10, knows(0.6)) and not lead.notice(20, knows(0.51))
        assert [lead.at(step / 100) for step in (0, 50, 99)] == [0, 0, 0]

    def test_it_begins_once_and_takes_its_time(self) -> None:
        lead = handover(0.5, 100)
        assert lead.notice(20, knows(0.4))
        assert not lead.notice(25, knows(0.3))
        assert lead.at(0.42) == pytest.approx(0.5)
        assert lead.at(0.7) == 1.0
        led = [lead.at(step / 100) for step in range(100)]
        assert led == sorted(led)

    def test_batches_that_were_made_before_it_began_are_as_if_it_had_not(self) -> None:
        """Else a resumed run, which makes them afterwards, would see other ones."""
        lead = handover(0.5, 20)
        made: dict[int, float] = {}

        def batch_at(step: int) -> int:
            made[step] = lead.at(step / 20)
            return step

        for step in prefetched(batch_at, range(20)):
            if step == 4:
                lead.notice(step + 1, knows(0.4))
        assert made == {step: lead.at(step / 20) for step in range(20)}
        assert made[5 + DEPTH + 1] > 0

    def test_a_checkpoint_knows_when_it_began(self) -> None:
        first, second = handover(0.5, 100), handover(0.5, 100)
        first.notice(30, knows(0.1))
        second.load_state_dict(first.state_dict())
        assert second.at(0.5) == first.at(0.5) > 0
        assert second.own_share == first.own_share == 1.0

    def test_a_checkpoint_of_an_earlier_version_has_the_teacher_s_answers_alone(self) -> None:
        lead = handover(0.5, 100)
        lead.set_extra_state({"begun": 0.3})
        assert (lead.begun, lead.own_share) == (0.3, 0.0)


class Echo(nn.Module):
    """A student whose logits are its images."""

    def answer(self, images_BCHW: Tensor) -> StudentAnswer:
        return StudentAnswer([], images_BCHW, images_BCHW)


class TestAnswers:
    labels_N = torch.tensor([0, 0, 1, 1])
    teacher_NK = torch.tensor([[3.0, 0.0], [0.0, 3.0], [0.0, 3.0], [0.0, 3.0]])
    """Wrong about the second."""
    student_NK = torch.tensor([[3.0, 0.0], [3.0, 0.0], [0.0, 3.0], [2.9, 0.0]])
    """Wrong about the last, and a little less so."""

    def answers(self, student_NK: Tensor) -> Tensor:
        lead = Handover(self.teacher_NK, self.labels_N, 100)
        lead.follow(Echo())
        lead.notice(10, student_NK)
        return lead.answers(torch.tensor([[8.0, 0.0]]), torch.tensor([[0.0, 4.0]]))

    def test_are_the_teacher_s_until_the_student_has_passed_it(self) -> None:
        assert self.answers(0.5 * self.student_NK.flip(1)).tolist() == [[0.0, 4.0]]
        one_more_wrong = torch.tensor([[0.0, 3.0], [3.0, 0.0], [3.0, 0.0], [0.0, 3.0]])  # and yet one that helps
        assert self.answers(one_more_wrong).tolist() == [[0.0, 4.0]]

    def test_are_between_the_two_where_each_knows_what_the_other_does_not(self) -> None:
        assert torch.allclose(self.answers(self.student_NK), torch.tensor([[4.0, 2.0]]))

    def test_are_the_student_s_own_where_the_teacher_adds_nothing(self) -> None:
        right = torch.tensor([[3.0, 0.0], [3.0, 0.0], [0.0, 3.0], [0.0, 3.0]])
        assert self.answers(right).tolist() == [[8.0, 0.0]]

    def test_are_the_teacher_s_where_nothing_is_averaged(self) -> None:
        lead = Handover(self.teacher_NK, self.labels_N, 100)
        lead.notice(10, self.student_NK)
        assert lead.answers(torch.zeros(1, 2), torch.tensor([[0.0, 4.0]])).tolist() == [[0.0, 4.0]]

    def test_bring_no_weights_into_the_task(self) -> None:
        lead = Handover(self.teacher_NK, self.labels_N, 100)
        lead.follow(nn.Linear(2, 2))
        assert list(lead.parameters()) == [] and list(lead.state_dict()) == ["_extra_state"]


class TestLosses:
    def test_labels_are_left_and_a_little_kd(self) -> None:
        weights = weights_at(0.6, DistillConfig(align_weight=1.0, proxy_weight=0.5, relation_weight=1.0))
        assert handed_over(weights, 0.0) == weights
        last = handed_over(weights, 1.0)
        assert (last.kd, last.ce) == (KD_WEIGHT, CE_WEIGHT)
        assert (*last.align, last.proxy, last.relation) == (0,) * 6
        half = handed_over(weights, 0.5)
        assert (half.ce, half.proxy) == pytest.approx(((weights.ce + CE_WEIGHT) / 2, weights.proxy / 2))

    def test_what_the_job_has_set_further_is_left(self) -> None:
        weights = weights_at(0.6, DistillConfig(ce_weight=5.0))
        assert handed_over(weights, 1.0).ce == 5.0


class TestFeed:
    def test_batches_fill_with_labelled_images(self, spec: Specs, judged: Path, tmp_path: Path) -> None:
        run = Run(
            spec(), judged, tmp_path, RuntimeConfig(device="cpu"), Reporter((tmp_path / "log").open("w")), lambda: False
        )
        images, _ = prepare(run, index_folder(judged))
        batches, lead = BatchSource(run, images, None), handover(1.0, 20)
        lead.begun = 0.2

        def labelled(step: int) -> int:
            return int((batches.at(step, lead).labels_B >= 0).sum())

        assert labelled(4) == int((batches.at(4).labels_B >= 0).sum())
        assert labelled(19) >= LABEL_SHARE * 16


class TestPipeline:
    def test_labels_lead_once_the_student_has_passed_its_teacher(
        self, ignorant: TrainingSpec, run_training: Runs, judged: Path, tmp_path: Path
    ) -> None:
        outcome = run_training(ignorant, judged, tmp_path / "out")
        assert outcome.events.count("labels_lead") == 1

    def test_without_it_the_student_is_the_control_s_bit_by_bit(
        self, ignorant: TrainingSpec, run_training: Runs, judged: Path, tmp_path: Path
    ) -> None:
        alone = ignorant.model_copy(update={"distill": ignorant.distill.model_copy(update={"handover": False})})
        assert "labels_lead" not in run_training(alone, judged, tmp_path / "alone").events
        control = ignorant.model_copy(update={"method": "reprogrammed-kd"})
        run_training(control, judged, tmp_path / "control")
        assert weights_of(tmp_path / "alone") == weights_of(tmp_path / "control")

    def test_a_run_stopped_afterwards_goes_on_to_the_very_same_student(
        self, ignorant: TrainingSpec, run_training: Runs, judged: Path, tmp_path: Path
    ) -> None:
        run_training(ignorant, judged, tmp_path / "straight")
        stopped = run_training(ignorant, judged, tmp_path / "parts", stop_when=lambda printed: "labels_lead" in printed)
        assert stopped.lines[-1].type != "done"
        resumed = run_training(ignorant, judged, tmp_path / "parts")
        assert "resumed" in resumed.events and "labels_lead" not in resumed.events
        assert weights_of(tmp_path / "parts") == weights_of(tmp_path / "straight")
