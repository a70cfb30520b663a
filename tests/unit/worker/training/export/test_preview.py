"""The student of the moment: what a run writes, and that nothing of it touches the student that it trains."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from app.domain.previews import PREVIEW_NOTE, PREVIEW_ONNX, PREVIEW_WEIGHTS, PreviewLine, PreviewMark, wanted_name
from app.domain.spec import TrainingSpec
from tests.unit.worker.training.conftest import Outcome, image_folder
from worker.training.export import preview

Specs = Callable[..., TrainingSpec]
Runs = Callable[..., Outcome]
STEPS = 20


@pytest.fixture(autouse=True)
def as_often_as_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it costs: a step takes milliseconds here."""
    monkeypatch.setattr(preview, "WEIGHTS_SHARE", 1e9)
    monkeypatch.setattr(preview, "ONNX_SHARE", 1e9)
    monkeypatch.setattr(preview, "_LOOK_SECONDS", 0.0)


def told(outcome: Outcome, name: str) -> list[PreviewLine]:
    return [line for line in outcome.lines if line.type == "preview" and line.name == name]


def asking(out: Path, student: str) -> Callable[[str], bool]:
    """Ask once the first preview is there; never stop."""

    def look(printed: str) -> bool:
        if '"type":"preview"' in printed and PREVIEW_ONNX not in printed:
            (out / wanted_name(student)).touch()
        return False

    return look


def logits(path: Path, images: np.ndarray) -> tuple[np.ndarray, dict[str, str]]:
    session = onnxruntime.InferenceSession(path)
    return session.run(None, {"images": images})[0], session.get_modelmeta().custom_metadata_map


class TestWeights:
    def test_are_written_at_each_validation_and_say_what_they_are(self, whole_run: Outcome) -> None:
        lines = told(whole_run, PREVIEW_WEIGHTS)
        assert lines and lines[-1].mark.steps == STEPS
        marks = [line.mark for line in lines]
        curve = {
            line.step: line.values["teacher_agreement"]
            for line in whole_run.lines
            if line.type == "metric" and "teacher_agreement" in line.values
        }
        assert all(mark.teacher_agreement == curve[mark.step] and mark.val_accuracy is None for mark in marks)
        newest = lines[-1].file
        assert newest is not None
        with safe_open(whole_run.out_dir / newest.name, "numpy") as file:
            assert PreviewMark.model_validate_json(file.metadata()[PREVIEW_NOTE]) == marks[-1]

    def test_of_the_last_step_are_the_delivered_ones(
        self, spec: Specs, run_training: Runs, shapes: Path, tmp_path: Path
    ) -> None:
        outcome = run_training(spec(), shapes, tmp_path / "out")
        lines = told(outcome, PREVIEW_WEIGHTS)
        assert [line.mark.step for line in lines] == list(range(1, STEPS + 1))
        assert lines[-1].file is not None
        last, final = (load_file(tmp_path / "out" / name) for name in (lines[-1].file.name, "student.safetensors"))
        assert last.keys() == final.keys()
        assert all(np.array_equal(last[name], final[name]) for name in final)
        kept = sorted((tmp_path / "out" / "preview" / "test_resnet").iterdir())
        assert [path.name for path in kept] == ["student.preview-19.safetensors", "student.preview-20.safetensors"]

    def test_pass_over_validations_where_they_cost_too_much(
        self, spec: Specs, run_training: Runs, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(preview, "WEIGHTS_SHARE", 1e-9)
        outcome = run_training(spec(), shapes, tmp_path / "out")
        assert [line.mark.step for line in told(outcome, PREVIEW_WEIGHTS)] == [1]

    def test_of_a_student_with_a_borrowed_classifier_are_those_of_its_architecture(
        self, spec: Specs, run_training: Runs, shapes: Path, tmp_path: Path
    ) -> None:
        outcome = run_training(
            spec(method="simkd", distill={"image_steps": 64, "batch_size": 16}), shapes, tmp_path / "out"
        )
        lines = told(outcome, PREVIEW_WEIGHTS)
        assert lines[-1].file is not None
        last, final = (load_file(tmp_path / "out" / name) for name in (lines[-1].file.name, "student.safetensors"))
        assert all(np.array_equal(last[name], final[name]) for name in final)


class TestOnnx:
    def test_is_made_when_asked_for_and_changes_nothing(
        self, whole_run: Outcome, spec: Specs, run_training: Runs, shapes: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        outcome = run_training(spec(), shapes, out, stop_when=asking(out, "test_resnet"))
        (line,) = told(outcome, PREVIEW_ONNX)
        assert line.file is not None and line.mark.step < STEPS
        images = np.random.default_rng(0).standard_normal((3, 3, 32, 32), np.float32)
        _, notes = logits(out / line.file.name, images)
        assert PreviewMark.model_validate_json(notes[PREVIEW_NOTE]) == line.mark
        assert json.loads(notes["classes"]) == ["lying", "square", "standing"]
        # bit by bit what a run without a preview has trained
        asked, plain = (load_file(folder / "student.safetensors") for folder in (out, whole_run.out_dir))
        assert all(np.array_equal(asked[name], plain[name]) for name in plain)

    def test_of_several_students_is_that_of_the_one_asked_for(
        self, spec: Specs, run_training: Runs, tmp_path: Path
    ) -> None:
        data, out = image_folder(tmp_path / "data", train=4, val=4, test=4), tmp_path / "out"
        several = spec(
            student=None, students=["test_resnet", "test_vit"], distill={"image_steps": 64, "batch_size": 16}
        )

        def look(printed: str) -> bool:  # the first one, while the second one trains
            if '"student":"test_vit"' in printed and PREVIEW_ONNX not in printed:
                (out / wanted_name("test_resnet")).touch()
            return False

        outcome = run_training(several, data, out, stop_when=look)
        (line,) = told(outcome, PREVIEW_ONNX)
        assert line.file is not None and line.mark.student == "test_resnet"
        assert line.mark.val_accuracy is not None
        weights = {(one.mark.student, one.mark.step) for one in told(outcome, PREVIEW_WEIGHTS)}
        assert {student for student, _ in weights} == {"test_resnet", "test_vit"}

    def test_that_cannot_be_made_costs_the_job_nothing(
        self, spec: Specs, run_training: Runs, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "out"
        monkeypatch.setattr(preview, "check_parity", _disagree)
        outcome = run_training(spec(), shapes, out, stop_when=asking(out, "test_resnet"))
        (line,) = told(outcome, PREVIEW_ONNX)
        assert line.file is None
        assert "preview_failed" in outcome.events
        assert outcome.lines[-1].type == "done"
        assert not list(out.rglob("student.preview-*.onnx"))


def _disagree(*_: object) -> None:
    raise ValueError("it computes something else")
