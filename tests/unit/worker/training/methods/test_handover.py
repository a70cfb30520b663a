from collections.abc import Callable
from pathlib import Path

import pytest

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
from worker.training.prepare import prepare
from worker.training.run import Run

Specs = Callable[..., TrainingSpec]
Runs = Callable[..., Outcome]


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
        handover = Handover(teacher_ce=0.5, steps=100)
        assert not handover.notice(10, 0.6) and not handover.notice(20, 0.5)
        assert [handover.at(step / 100) for step in (0, 50, 99)] == [0, 0, 0]

    def test_it_begins_once_and_takes_its_time(self) -> None:
        handover = Handover(teacher_ce=0.5, steps=100)
        assert handover.notice(20, 0.4)
        assert not handover.notice(25, 0.3)
        assert handover.at(0.42) == pytest.approx(0.5)
        assert handover.at(0.7) == 1.0
        led = [handover.at(step / 100) for step in range(100)]
        assert led == sorted(led)

    def test_batches_that_were_made_before_it_began_are_as_if_it_had_not(self) -> None:
        """Else a resumed run, which makes them afterwards, would see other ones."""
        handover = Handover(teacher_ce=0.5, steps=20)
        made: dict[int, float] = {}

        def batch_at(step: int) -> int:
            made[step] = handover.at(step / 20)
            return step

        for step in prefetched(batch_at, range(20)):
            if step == 4:
                handover.notice(step + 1, 0.4)
        assert made == {step: handover.at(step / 20) for step in range(20)}
        assert made[5 + DEPTH + 1] > 0

    def test_a_checkpoint_knows_when_it_began(self) -> None:
        first, second = Handover(0.5, 100), Handover(0.5, 100)
        first.notice(30, 0.1)
        second.load_state_dict(first.state_dict())
        assert second.at(0.5) == first.at(0.5) > 0


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
        batches, handover = BatchSource(run, images, None), Handover(1.0, 20)
        handover.begun = 0.2

        def labelled(step: int) -> int:
            return int((batches.at(step, handover).labels_B >= 0).sum())

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
