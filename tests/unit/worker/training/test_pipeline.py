import hashlib
import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from app.domain.errors import InvalidSpec
from app.domain.evaluation import Evaluation
from app.domain.files import sha256_file
from app.domain.progress import LINE
from app.domain.spec import TrainingSpec
from app.domain.speeds import Work
from app.domain.states import Stage

from .conftest import SIDE, Outcome

Specs = Callable[..., TrainingSpec]
Runs = Callable[..., Outcome]


def student_of(outcome: Outcome) -> dict[str, np.ndarray]:
    return load_file(outcome.out_dir / "student.safetensors")


def weights_of(folder: Path) -> str:
    return sha256_tensors(load_file(folder / "student.safetensors"))


def sha256_tensors(tensors: dict[str, np.ndarray]) -> str:
    """Of the weights alone: the file's header holds the spec's fingerprint too."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()


def manifest_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return content


class TestTrain:
    @pytest.mark.parametrize("method", ["reprogrammed-kd", "kd", "scratch"])
    def test_every_method_ends_with_a_described_student(
        self, method: str, spec: Specs, run_training: Runs, shapes: Path, tmp_path: Path
    ) -> None:
        outcome = run_training(spec(method=method), shapes, tmp_path / "out")
        manifest = outcome.manifest
        for file in manifest["files"]:
            assert sha256_file(outcome.out_dir / file["name"]) == file["sha256"]
        assert manifest["parity"]["student.ts"]["top1_agreement"] == 1.0
        assert manifest["dataset"]["images"] == {"train": 12, "test": 24, "unlabelled": 24}
        wanted = {"student_accuracy", "majority_accuracy"}
        wanted |= {"probe_accuracy"} if method != "scratch" else set()
        wanted |= {"teacher_accuracy"} if method == "reprogrammed-kd" else set()
        assert set(manifest["metrics"]) == wanted
        assert (manifest["teacher"] or {}).get("views") == (None if method == "scratch" else 4)
        found = manifest["metrics"]
        best = found.get("teacher_accuracy", found.get("probe_accuracy", 1.0))
        advised = any(line.type == "event" and line.code == "student_beyond_teacher" for line in outcome.lines)
        assert advised == (found["student_accuracy"] > best)

    def test_bad_input_row26_a_batch_larger_than_the_split_is_clamped_and_says_so(
        self, spec: Specs, run_training: Runs, shapes: Path, tmp_path: Path
    ) -> None:
        wanted = {"distill": {"image_steps": 72, "batch_size": 8192}, "reprogram": {"steps": 2, "batch_size": 8192}}
        outcome = run_training(spec(method="reprogrammed-kd", **wanted), shapes, tmp_path / "out")
        said = [line.message for line in outcome.lines if line.type == "event" and line.code == "batch_clamped"]
        # 12 labelled images of 4 views each, then those and 24 unlabelled ones, some of them twice
        assert [message.partition(":")[0] for message in said] == [
            "Stage 1 uses batches of 48",
            "Stage 2 uses batches of 64",
        ]
        assert outcome.lines[-1].type == "done"

    def test_progress_never_goes_back_and_stages_come_in_order(self, whole_run: Outcome) -> None:
        lines = whole_run.lines
        progress = [line.progress for line in lines if line.type == "progress"]
        assert progress == sorted(progress)
        assert progress[-1] < 1.0  # its files are still to be stored
        assert [line.stage for line in lines if line.type == "stage"] == list(Stage)
        assert lines[-1].type == "done"
        assert {line.stage for line in lines if line.type == "metric"} == {Stage.REPROGRAM, Stage.DISTILL}

    def test_says_what_is_left_from_when_it_has_seen_its_data(self, whole_run: Outcome) -> None:
        told = [line.eta_seconds for line in whole_run.lines if line.type == "progress"]
        assert None not in told
        *earlier, last = [seconds for seconds in told if seconds is not None]
        assert max(earlier) > last > 0  # of storing the files

    def test_tells_what_its_work_took(self, whole_run: Outcome) -> None:
        told = {line.work: line for line in whole_run.lines if line.type == "speed"}
        assert set(told) == {
            *(Work.DECODE, Work.FORWARD, Work.TAP_WIDTH, Work.REPROGRAM, Work.TRAIN),
            *(Work.EVALUATE, Work.EXPORT, Work.DESCRIBE),
        }
        train = told[Work.TRAIN]
        assert (train.subject, train.size, train.how) == ("test_resnet", SIDE, "tdmr muon 16")
        distill = whole_run.manifest["seconds"]["distill"]
        assert 0 < train.amount * 320 < distill * 20 / 19  # the first of twenty steps is not counted
        assert told[Work.EXPORT].subject == "torchscript"

    def test_tells_who_said_what_of_which_image(self, whole_run: Outcome) -> None:
        evaluation = Evaluation.model_validate_json((whole_run.out_dir / "evaluation.json").read_text())
        assert evaluation.student is not None
        counts = {(cell.label, cell.predicted): cell.count for cell in evaluation.cells}
        classes = evaluation.classes
        for row, name in zip(evaluation.student.confusion, classes, strict=True):
            assert [counts.get((name, other), 0) for other in classes] == list(row)
        images = [image for cell in evaluation.cells for image in cell.images]
        assert len(images) == 24
        for image in images:
            assert image.path.startswith(f"test/{image.label}/")
            assert image.student is not None and image.teacher is not None and image.probe is not None
        assert [pair.other for pair in evaluation.paired] == ["teacher", "probe", "majority"]

    def test_the_card_s_own_words_give_the_evaluation_s_answers(
        self, whole_run: Outcome, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        card = (whole_run.out_dir / "model_card.md").read_text()
        code = card.partition("```python\n")[2].partition("```")[0]
        (tmp_path / "student.ts").write_bytes((whole_run.out_dir / "student.ts").read_bytes())
        monkeypatch.chdir(tmp_path)
        evaluation = Evaluation.model_validate_json((whole_run.out_dir / "evaluation.json").read_text())
        for image in [cell.images[0] for cell in evaluation.cells]:
            (tmp_path / "photo.jpg").write_bytes((shapes / image.path).read_bytes())
            printed = io.StringIO()
            with redirect_stdout(printed):
                exec(compile(code, "card", "exec"), {})
            answer, probability = printed.getvalue().split()
            assert image.student is not None
            assert answer == image.student.answer
            assert float(probability) == pytest.approx(image.student.probability, abs=1e-4)

    def test_the_same_seed_gives_the_same_student_and_another_one_another(
        self, whole_run: Outcome, spec: Specs, run_training: Runs, shapes: Path, tmp_path: Path
    ) -> None:
        one = student_of(whole_run)
        same, other = (student_of(run_training(spec(seed=seed), shapes, tmp_path / str(seed))) for seed in (0, 1))
        assert all(np.array_equal(one[name], same[name]) for name in one)
        assert any(not np.array_equal(one[name], other[name]) for name in one)

    @pytest.mark.parametrize("questions", [2, 30, 60])
    def test_a_stopped_run_goes_on_to_the_very_same_student(
        self, questions: int, whole_run: Outcome, spec: Specs, run_training: Runs, shapes: Path, tmp_path: Path
    ) -> None:
        stopped = run_training(spec(), shapes, tmp_path / "parts", stop_after=questions)
        assert stopped.lines[-1].type != "done"
        resumed = run_training(spec(), shapes, tmp_path / "parts")
        expected, got = student_of(whole_run), student_of(resumed)
        assert all(np.array_equal(expected[name], got[name]) for name in expected)

    def test_live_teacher_and_cached_teacher_teach_alike(
        self, spec: Specs, run_training: Runs, shapes: Path, tmp_path: Path
    ) -> None:
        # 16 passes over the 12 labelled images: both modes show views 0..15 once each
        distill = {"image_steps": 192, "batch_size": 12, "use_unlabelled": False}

        def taught(name: str, **views: object) -> dict[str, np.ndarray]:
            wanted = spec(views={"count": 16, **views}, distill=distill)
            return student_of(run_training(wanted, shapes, tmp_path / name))

        def apart(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
            return float(np.mean([np.abs(one[name].astype(float) - other[name]).mean() for name in one]))

        cached, live = taught("cached", mode="cached"), taught("live", mode="live")
        other_views = taught("other", mode="cached", seed=1)
        # cached answers are rounded to 16 bits, which Muon makes more of than it was
        facts = [manifest_of(tmp_path / mode)["teacher"] for mode in ("cached", "live")]
        assert [teacher["views"] for teacher in facts] == [16, None]
        assert 0 < apart(cached, live) < 0.3 * apart(cached, other_views)

    def test_unlabelled_images_are_used_and_can_be_left_out(
        self, spec: Specs, run_training: Runs, shapes: Path, tmp_path: Path
    ) -> None:
        distill = {"image_steps": 64, "batch_size": 16, "use_unlabelled": False}
        without = run_training(spec(distill=distill), shapes, tmp_path / "without")
        events = [line.message for line in without.lines if line.type == "event"]
        assert any("12 labelled and 0 unlabelled" in message for message in events)

    def test_refuses_a_folder_that_holds_another_run(
        self, spec: Specs, run_training: Runs, shapes: Path, tmp_path: Path
    ) -> None:
        run_training(spec(), shapes, tmp_path / "out", stop_after=2)
        with pytest.raises(InvalidSpec, match="another spec"):
            run_training(spec(seed=1), shapes, tmp_path / "out")


STUDENTS = ("test_resnet", "test_vit")
FIGURES = ("confusion_matrix.svg", "classes.svg", "reliability.svg", "training_curves.svg")
SHARED = {"reprogrammed.safetensors", "data_review.json"}


@pytest.fixture(scope="module")
def both(spec: Specs, run_training: Runs, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Two students in one job."""
    return run_training(spec(student=None, students=STUDENTS), shapes, tmp_path_factory.mktemp("both"))


class TestSeveralStudents:
    def test_each_is_what_it_would_be_alone(
        self, both: Outcome, whole_run: Outcome, spec: Specs, run_training: Runs, shapes: Path, tmp_path: Path
    ) -> None:
        alone = {"test_resnet": whole_run, "test_vit": run_training(spec(student="test_vit"), shapes, tmp_path / "vit")}
        for name, run in alone.items():
            folder = both.out_dir / name
            assert weights_of(folder) == weights_of(run.out_dir)
            one, other = manifest_of(folder), run.manifest
            assert (one["spec"], one["spec_fingerprint"]) == (other["spec"], other["spec_fingerprint"])
            assert (one["student"], one["metrics"], one["preprocessing"]) == (
                other["student"],
                other["metrics"],
                other["preprocessing"],
            )
            files = {file["name"] for file in other["files"]}
            assert {file["name"] for file in one["files"]} == files - SHARED
            evaluations = [json.loads((out / "evaluation.json").read_text()) for out in (folder, run.out_dir)]
            assert evaluations[0] == evaluations[1]

    def test_the_job_vouches_for_the_files_of_all(self, both: Outcome) -> None:
        manifest = both.manifest
        files = {file["name"]: file["sha256"] for file in manifest["files"]}
        own = ("student.ts", "student.safetensors", "evaluation.json", "answers.csv", "manifest.json")
        own += (*FIGURES, "model_card.md", "model_card.html")
        # without timing there is a table, and nothing to plot
        assert set(files) == {f"{name}/{file}" for name in STUDENTS for file in own} | SHARED | {"comparison.json"}
        assert all(sha256_file(both.out_dir / name) == sha256 for name, sha256 in files.items())
        assert (manifest["student"], manifest["preprocessing"]) == (None, None)
        assert set(manifest["parity"]) == {f"{name}/student.ts" for name in STUDENTS}
        assert set(manifest["metrics"]) == {
            *(f"{name}/student_accuracy" for name in STUDENTS),
            "teacher_accuracy",
            "probe_accuracy",
            "majority_accuracy",
        }
        last = both.lines[-1]
        assert last.type == "done"
        assert last.metrics == manifest["metrics"]

    def test_each_stage_is_entered_once_and_no_two_points_meet(self, both: Outcome) -> None:
        assert [line.stage for line in both.lines if line.type == "stage"] == list(Stage)
        progress = [line.progress for line in both.lines if line.type == "progress"]
        assert progress == sorted(progress)
        points = [line for line in both.lines if line.type == "metric" and line.stage is Stage.DISTILL]
        steps = [point.step for point in points]
        assert steps == sorted(set(steps))
        assert max(steps) == 2 * 20
        for point in points:
            first = point.step <= 20
            whose = {name.partition("/")[0] for name in point.values} - {"images_per_second"}
            assert whose == {STUDENTS[0] if first else STUDENTS[1]}
        assert "test_vit/loss" in points[-1].values

    def test_seconds_tell_decoding_teacher_and_students_apart(self, both: Outcome) -> None:
        whole = both.manifest["seconds"]
        assert whole["decode"] + whole["teacher"] <= whole["prepare"]
        for name in STUDENTS:
            own = manifest_of(both.out_dir / name)["seconds"]
            assert set(own) - {"preview"} == {*Stage, "decode", "teacher"}
            assert own["prepare"] == whole["prepare"]
            # whether there was time for a preview is the machine's to say
            for stage in ("distill", "evaluate", "export", *({"preview"} & set(own))):
                assert 0 < own[stage] == whole[f"{stage}/{name}"] < whole[stage]

    def test_goes_on_in_the_middle_of_the_second_without_training_the_first_again(
        self, both: Outcome, spec: Specs, run_training: Runs, shapes: Path, tmp_path: Path
    ) -> None:
        wanted = spec(student=None, students=STUDENTS)
        last = max(line.step for line in both.lines if line.type == "metric" and line.stage is Stage.DISTILL)

        def in_the_second(lines: str) -> bool:
            return any('"distill"' in line and f'"step":{last - 5},' in line for line in lines.splitlines())

        run_training(wanted, shapes, tmp_path / "out", stop_when=in_the_second)
        assert not (tmp_path / "out" / "manifest.json").exists()
        resumed = run_training(wanted, shapes, tmp_path / "out")
        steps = [line.step for line in resumed.lines if line.type == "metric" and line.stage is Stage.DISTILL]
        assert min(steps) > last - 5
        for name in STUDENTS:
            assert weights_of(tmp_path / "out" / name) == weights_of(both.out_dir / name)


class TestProbe:
    @pytest.mark.parametrize("student", [None, "test_resnet"])
    def test_evaluates_the_teacher_and_trains_no_student(
        self, student: str | None, spec: Specs, run_training: Runs, shapes: Path, tmp_path: Path
    ) -> None:
        outcome = run_training(spec(method="probe", student=student), shapes, tmp_path / "out")
        manifest = outcome.manifest
        assert {file["name"] for file in manifest["files"]} == {
            "answers.csv",
            "evaluation.json",
            "probe.safetensors",
            "data_review.json",
            *FIGURES,  # and no card: there is no model that could have one
        }
        assert all(sha256_file(outcome.out_dir / file["name"]) == file["sha256"] for file in manifest["files"])
        assert (manifest["student"], manifest["preprocessing"], manifest["parity"]) == (None, None, {})
        assert set(manifest["metrics"]) == {"probe_accuracy", "majority_accuracy"}
        evaluation = json.loads((outcome.out_dir / "evaluation.json").read_text())
        assert evaluation["student"] is None
        assert evaluation["probe"]["top1"] == manifest["metrics"]["probe_accuracy"]
        stages = [line.stage for line in outcome.lines if line.type == "stage"]
        assert stages == [Stage.PREPARE, Stage.REPROGRAM, Stage.EVALUATE, Stage.EXPORT]
        progress = [line.progress for line in outcome.lines if line.type == "progress"]
        assert progress == sorted(progress)


def command(spec: object, data: Path, out: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    return [sys.executable, "-m", "worker.training", str(tmp_path / "spec.json"), str(data), str(out)]


@pytest.mark.slow
class TestCommand:
    def test_prints_nothing_but_lines_and_says_what_is_wrong_with_a_spec(self, shapes: Path, tmp_path: Path) -> None:
        spec = {"student": "test_resnet", "method": "scratch", "lerning_rate": 1}
        done = subprocess.run(command(spec, shapes, tmp_path / "out", tmp_path), capture_output=True, check=False)
        assert done.returncode == 1
        line = LINE.validate_json(done.stdout)
        assert line.type == "failure"
        assert line.code == "invalid_spec"
        assert "lerning_rate" in line.detail

    def test_names_an_architecture_that_timm_does_not_have(self, shapes: Path, tmp_path: Path) -> None:
        spec = {"student": "no_such_net", "method": "scratch"}
        done = subprocess.run(command(spec, shapes, tmp_path / "out", tmp_path), capture_output=True, check=False)
        line = LINE.validate_json(done.stdout.splitlines()[-1])
        assert (done.returncode, line.type) == (1, "failure")
        assert line.type == "failure" and line.code == "model_not_buildable"
        assert str(tmp_path) not in done.stdout.decode()

    def test_sigterm_writes_a_checkpoint_and_exits_with_75(self, shapes: Path, tmp_path: Path) -> None:
        spec = {"student": "test_resnet", "method": "scratch", "image_size": 32, "distill": {"image_steps": 2_000_000}}
        out = tmp_path / "out"
        child = subprocess.Popen(command(spec, shapes, out, tmp_path), stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        for line in child.stdout:
            if '"stage":"distill"' in line and '"progress"' in line:
                break
        child.send_signal(signal.SIGTERM)
        child.stdout.read()
        assert child.wait(timeout=60) == 75
        assert list((out / "checkpoints").glob("*.ckpt"))
