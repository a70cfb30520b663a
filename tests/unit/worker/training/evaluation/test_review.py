import base64
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.domain.review import DataReview
from app.domain.spec import TrainingSpec
from app.reading.layout import index_folder
from tests.unit.worker.training.conftest import Outcome, picture
from worker.training.evaluation import review
from worker.training.evaluation.review import left_out_scores, neighbour_distances

Specs = Callable[..., TrainingSpec]
Runs = Callable[..., Outcome]


def clusters(each: int = 40, width: int = 24, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Features around one centre for each class, and the labels."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), each)
    centres = rng.normal(size=(classes, width))
    return (centres[labels] + rng.normal(scale=0.7, size=(len(labels), width))).astype(np.float32), labels


class TestLeftOut:
    @pytest.mark.parametrize("width", [12, 300], ids=["more images than features", "fewer"])
    def test_is_what_a_fit_without_the_image_says(self, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
        monkeypatch.setattr(review, "_PENALTIES", np.array([0.1]))
        x, labels = clusters(each=20, width=width)
        x_centred = x - x.mean(0)
        gram = x_centred @ x_centred.T if len(x) <= width else x_centred.T @ x_centred
        eigenvalues = np.linalg.eigvalsh(gram)
        penalty = 0.1 * eigenvalues[eigenvalues > 1e-6 * eigenvalues.max()].mean()
        y = np.eye(3)[labels]
        scores = left_out_scores(x, labels)
        for left_out in range(0, len(x), 7):
            others = np.arange(len(x)) != left_out
            mean_x, mean_y = x[others].mean(0), y[others].mean(0)
            inner = (x[others] - mean_x).T @ (x[others] - mean_x) + penalty * np.eye(width)
            weights = np.linalg.solve(inner, (x[others] - mean_x).T @ (y[others] - mean_y))
            expected = (x[left_out] - mean_x) @ weights + mean_y
            assert scores[left_out] == pytest.approx(expected, abs=2e-3)

    def test_tells_planted_errors_from_right_labels(self) -> None:
        x, labels = clusters()
        wrong = labels.copy()
        wrong[[3, 50, 90]] = [2, 0, 1]
        scores = left_out_scores(x, wrong)
        own = scores[np.arange(len(wrong)), wrong]
        assert set(np.argsort(own)[:3]) == {3, 50, 90}
        assert (scores.argmax(1)[[3, 50, 90]] == labels[[3, 50, 90]]).all()
        assert own[np.delete(np.arange(len(wrong)), [3, 50, 90])].min() > review.MAX_OWN


class TestNeighbours:
    def test_never_counts_an_image_as_its_own(self) -> None:
        x, _ = clusters(each=4)
        assert neighbour_distances(x, seed=0).min() > 0.01

    def test_is_far_for_what_is_unlike_all_others(self) -> None:
        x, _ = clusters()
        x[17] = np.random.default_rng(5).normal(size=x.shape[1]) * 3
        assert neighbour_distances(x, seed=0).argmax() == 17


class TestReview:
    def test_is_a_file_of_the_job(self, whole_run: Outcome, shapes: Path) -> None:
        written = DataReview.model_validate_json((whole_run.out_dir / "data_review.json").read_bytes())
        assert (written.images, written.teacher) == (12, "test_resnet.random")
        assert "data_review.json" in {file["name"] for file in whole_run.manifest["files"]}
        paths = {sample.path for sample in index_folder(shapes).samples}
        assert {found.path for found in (*written.suspects, *written.outliers)} <= paths

    def test_shows_an_image_that_does_not_belong(
        self, spec: Specs, run_training: Runs, shapes: Path, tmp_path: Path
    ) -> None:
        """Two classes that any teacher tells apart, black and white, and one image in the wrong one."""
        data, rng = tmp_path / "data", np.random.default_rng(0)
        for name, level in (("black", 20), ("white", 230)):
            for number in range(12):
                for split in ("train", "test"):
                    (data / split / name).mkdir(parents=True, exist_ok=True)
                    pixels = rng.normal(level, 10, (32, 32, 3)).clip(0, 255).astype(np.uint8)
                    Image.fromarray(pixels).save(data / split / name / f"{number}.png")
        shutil.copy(data / "train/white/3.png", data / "train/black/wrong.png")
        (data / "train/white/3.png").unlink()
        picture(0, rng).save(data / "train/black/bar.png")
        run = run_training(spec(method="probe", student=None), data, tmp_path / "out")
        written = DataReview.model_validate_json((run.out_dir / "data_review.json").read_bytes())
        suspect = written.suspects[0]
        assert (suspect.path, suspect.label, suspect.suggested) == ("train/black/wrong.png", "black", "white")
        assert "train/black/bar.png" in {outlier.path for outlier in written.outliers}
        with Image.open(io.BytesIO(base64.b64decode(suspect.picture))) as image:
            assert (image.format, image.size) == ("JPEG", (32, 32))

    def test_needs_a_teacher(self, spec: Specs, run_training: Runs, shapes: Path, tmp_path: Path) -> None:
        run = run_training(spec(method="scratch", teacher=None), shapes, tmp_path / "out")
        assert not (run.out_dir / "data_review.json").exists()
        assert "data_review.json" not in {file["name"] for file in run.manifest["files"]}
