"""Real students, timed and compared: which file answers the constraints, and where that is told."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from app.domain.manifest import Manifest, Measurement, Parity
from app.domain.model_selection import Comparison
from app.domain.spec import TrainingSpec
from tests.unit.worker.training.conftest import Outcome
from worker.training.export.student import Exported
from worker.training.models.networks import build_student
from worker.training.report.comparison import candidates
from worker.training.report.manifests import Delivered, Trained

Specs = Callable[..., TrainingSpec]
Runs = Callable[..., Outcome]

STUDENTS = ("test_resnet", "test_vit")
FILES = {f"{name}/student.ts" for name in STUDENTS}


@pytest.fixture(scope="module")
def met(spec: Specs, run_training: Runs, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Two students, and constraints that both of them keep to."""
    wanted = spec(
        student=None,
        students=STUDENTS,
        method="scratch",
        teacher=None,
        export={"formats": ["torchscript"]},
        constraints={"max_latency_ms": 60_000, "max_bytes": 10**9, "min_accuracy": 0},
    )
    return run_training(wanted, shapes, tmp_path_factory.mktemp("met"))


def said(outcome: Outcome, code: str) -> list[tuple[str, str]]:
    return [(line.level, line.message) for line in outcome.lines if line.type == "event" and line.code == code]


class TestConstraints:
    def test_that_can_be_met_choose_the_most_accurate_file(self, met: Outcome) -> None:
        manifest = Manifest.model_validate(met.manifest)
        choice = manifest.choice
        assert choice is not None
        assert (choice.met, choice.misses) == (True, ())
        accuracy = {name: manifest.metrics[f"{name}/student_accuracy"] for name in STUDENTS}
        assert choice.accuracy == max(accuracy.values()) == accuracy[choice.student]
        assert choice.file == f"{choice.student}/student.ts"
        assert choice.latency_ms == manifest.measured[choice.file].latencies[0].p50_ms
        assert said(met, "choice") == [("info", choice.summary)]
        assert met.lines[-1].type == "done"

    def test_that_cannot_be_met_name_what_comes_closest_and_the_job_succeeds(
        self, spec: Specs, run_training: Runs, shapes: Path, tmp_path: Path
    ) -> None:
        wanted = spec(method="scratch", teacher=None, constraints={"max_bytes": 1000, "min_accuracy": 0})
        outcome = run_training(wanted, shapes, tmp_path / "out")
        choice = Manifest.model_validate(outcome.manifest).choice
        assert choice is not None
        (miss,) = choice.misses
        size = (tmp_path / "out" / "student.ts").stat().st_size
        assert (choice.met, choice.file) == (False, "student.ts")
        assert (miss.constraint, miss.wanted, miss.got, miss.by) == ("max_bytes", 1000, size, size - 1000)
        ((level, message),) = said(outcome, "choice")
        assert level == "warning"
        assert "comes closest" in message and f"{size - 1000:,}" in message
        assert outcome.lines[-1].type == "done"
        assert not (tmp_path / "out" / "comparison.json").exists()  # there is nothing to compare

    def test_none_are_answered_by_nothing(self, whole_run: Outcome) -> None:
        assert whole_run.manifest["choice"] is None
        assert said(whole_run, "choice") == []


class TestMeasured:
    def test_every_file_with_a_runtime_is(self, met: Outcome) -> None:
        manifest = Manifest.model_validate(met.manifest)
        assert set(manifest.measured) == set(manifest.parity) == FILES
        sizes = {file.name: file.bytes for file in manifest.files}
        for name, measured in manifest.measured.items():
            assert measured.bytes == sizes[name]
            assert [latency.batch for latency in measured.latencies] == [1, 32]
        assert manifest.cpu
        assert len(said(met, "measured")) == len(FILES)

    def test_each_student_tells_its_own(self, met: Outcome) -> None:
        whole = Manifest.model_validate(met.manifest)
        for name in STUDENTS:
            own = Manifest.model_validate_json((met.out_dir / name / "manifest.json").read_text())
            assert own.measured == {"student.ts": whole.measured[f"{name}/student.ts"]}
            assert own.choice is not None and own.student is not None
            assert (own.choice.file, own.choice.student) == ("student.ts", name)
            assert own.student["multiply_adds"] > 0

    def test_bytes_alone_where_timing_is_off(self, whole_run: Outcome) -> None:
        measured = Manifest.model_validate(whole_run.manifest).measured["student.ts"]
        assert (measured.bytes, measured.latencies) == ((whole_run.out_dir / "student.ts").stat().st_size, ())


class TestCandidates:
    def test_a_quantised_file_is_judged_by_its_own_accuracy(self, tmp_path: Path) -> None:
        parity = Parity(images=200, top1_agreement=0.9, max_logit_difference=1.0)
        coarse = parity.model_copy(update={"accuracy_loss": 0.05})
        measured = Measurement(bytes=10, latencies=())
        outcome = Delivered(
            Trained(TrainingSpec(student="test_vit", method="scratch"), tmp_path, "", build_student("test_vit", 2, 32)),
            {"student": {"top1": 0.9}, "images": 200},
            Exported({"student.onnx": parity, "student.int8.onnx": coarse}),
            {"student.onnx": measured, "student.int8.onnx": measured},
        )
        found = candidates([outcome.contender("")])
        assert [(file.file, file.accuracy) for file in found] == [
            ("student.onnx", 0.9),
            ("student.int8.onnx", pytest.approx(0.85)),
        ]


class TestComparison:
    def test_lists_every_file_and_the_answer(self, met: Outcome) -> None:
        manifest = Manifest.model_validate(met.manifest)
        comparison = Comparison.model_validate_json((met.out_dir / "comparison.json").read_text())
        assert {file.file for file in comparison.files} == FILES
        assert comparison.choice == manifest.choice
        assert any(file.pareto for file in comparison.files)
        accuracies = [file.accuracy for file in comparison.files]
        assert accuracies == sorted(accuracies, reverse=True)
        for file in comparison.files:
            facts = json.loads((met.out_dir / file.student / "manifest.json").read_text())["student"]
            assert (file.parameters, file.multiply_adds) == (facts["parameters"], facts["multiply_adds"])
            one = manifest.measured[file.file].latencies[0]
            assert (file.latency_ms, file.latency_p95_ms, one.batch) == (one.p50_ms, one.p95_ms, 1)
            assert file.accuracy_interval is not None
            assert file.accuracy_interval[0] <= file.accuracy <= file.accuracy_interval[1]
        assert "24 test images" in comparison.accuracy

    def test_is_published_with_its_plot(self, met: Outcome) -> None:
        media = {file["name"]: file["media_type"] for file in met.manifest["files"]}
        assert media["comparison.json"] == "application/json"
        assert media["pareto.svg"] == "image/svg+xml"
