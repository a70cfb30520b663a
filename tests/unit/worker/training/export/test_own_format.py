"""A format that the project does not know goes from the student to the card, registered by naming its module."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from app.domain.config import ExportConfig, ExportFormat
from app.domain.errors import ExportFailed, ExportParityFailed
from app.domain.manifest import Manifest, Preprocessing
from app.domain.model_selection import Comparison
from app.domain.spec import TrainingSpec
from app.imaging import clean_square, open_rgb
from tests.unit.app.reports.planted import evaluation
from worker import verify
from worker.training.export import formats
from worker.training.export.latency import measure_files
from worker.training.export.manifest import describe_student, write_manifest
from worker.training.export.student import Exported, export_student
from worker.training.report.card.model_card import render_html, render_markdown
from worker.training.report.comparison import Contender, candidates
from worker.training.report.pareto import pareto_figure

from .numpy_linear import FORMAT

SIDE = 16
CLASSES = ("cat", "cow", "dog")
PREPROCESSING = Preprocessing(
    resize_short_side=SIDE, center_crop=SIDE, interpolation="bilinear", mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)
)
DOCUMENT = Path(__file__).parents[5] / "docs" / "exports.md"


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(formats.MODULES, FORMAT.name, type(FORMAT).__module__)


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, len(CLASSES))).eval()


class Job:
    """Twelve image files, and what is left of a linear student that was exported for them."""

    def __init__(self, folder: Path, student: nn.Module) -> None:
        self.data, self.out, self.student = folder / "data", folder / "out", student
        self.out.mkdir()
        rng = np.random.default_rng(0)
        self.paths = [f"{'train' if row < 6 else 'test'}/{CLASSES[row % 3]}/{row}.png" for row in range(12)]
        for path in self.paths:
            (self.data / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (19, 23, 3), dtype=np.uint8)).save(self.data / path)
        self.config = ExportConfig().model_copy(update={"formats": (FORMAT.name,)})
        self.events: list[str] = []

    def export(self) -> Exported:
        squares = [clean_square(open_rgb(self.data / path), PREPROCESSING) for path in self.paths]
        return export_student(
            self.student,
            config=self.config,
            out_dir=self.out,
            image_size=SIDE,
            classes=CLASSES,
            preprocessing=PREPROCESSING,
            fingerprint="f" * 64,
            eval_images_u8=np.stack(squares),
            eval_paths=self.paths,
            eval_folder=self.data,
            on_event=lambda code, message: self.events.append(f"{code}: {message}"),
        )

    def finish(self) -> Manifest:
        """Export, time and describe."""
        exported = self.export()
        measured = measure_files(
            self.out,
            exported.parity,
            image_size=SIDE,
            device=torch.device("cpu"),
            timed=True,
            on_event=lambda code, message: self.events.append(f"{code}: {message}"),
        )
        spec = TrainingSpec(student="linear", method="scratch", image_size=SIDE)
        return write_manifest(
            self.out,
            files=[*exported.parity, "student.safetensors"],
            spec=spec.model_copy(update={"export": self.config}),
            classes=CLASSES,
            preprocessing=PREPROCESSING,
            student=describe_student("linear", self.student, {}, SIDE),
            teacher=None,
            dataset={},
            device="cpu",
            metrics={},
            seconds={},
            parity=exported.parity,
            measured=measured,
        )


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path, linear())


@pytest.mark.slow
class TestOwnFormat:
    def test_is_written_checked_timed_and_described(self, job: Job) -> None:
        manifest = job.finish()
        parity = manifest.parity["student.npz"]
        assert (parity.images, parity.top1_agreement) == (12, 1.0)
        assert parity.max_logit_difference <= 1e-4
        assert [latency.batch for latency in manifest.measured["student.npz"].latencies] == [1, 32]
        assert manifest.files[0].media_type == "application/x-npz"
        assert [event.partition(":")[0] for event in job.events] == ["exported", "measured"]
        assert "student.npz (two arrays, " in job.events[0]

    def test_is_verified(self, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
        job.finish()
        monkeypatch.setattr(verify.timm, "create_model", lambda *_, **__: linear())
        report = verify.verify(job.out, job.data)
        assert report.ok
        checked = {check.name: check.top1_agreement for check in report.files}
        assert checked == {"student.npz": 1.0, "student.safetensors": 1.0}

    def test_is_on_the_card_and_in_the_figure(self, job: Job) -> None:
        manifest = job.finish()
        lines = 'student = np.load("student.npz")'
        for render in (render_markdown, render_html):
            card = render(manifest, evaluation(CLASSES), {})
            assert "student.npz" in card and "numpy" in card
        assert lines in render_markdown(manifest, evaluation(CLASSES), {})
        facts = {"student": {"top1": 0.5}, "images": 12}
        files = candidates([Contender("", "linear", facts, manifest.measured, {}, manifest.student or {})])
        figure = pareto_figure(Comparison(latency="", accuracy="", files=tuple(files), choice=None))
        assert any("NumPy" in text.get_text() for text in figure.axes[0].texts)

    def test_that_computes_something_else_is_not_published(self, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
        write = type(FORMAT).write

        def wrong(chosen: formats.Format, source: object, path: Path) -> str:
            said = write(FORMAT, source, path)
            with np.load(path) as arrays:
                np.savez(path, **{**arrays, "bias": arrays["bias"] + 0.1})
            return said

        monkeypatch.setattr(type(FORMAT), "write", wrong)
        with pytest.raises(ExportParityFailed, match=r"student\.npz does not compute what was trained"):
            job.export()
        assert [file.name for file in job.out.iterdir()] == ["student.safetensors"]

    def test_that_cannot_be_written_says_why(self, tmp_path: Path) -> None:
        job = Job(tmp_path, nn.Sequential(nn.Flatten(), nn.Identity()))
        with pytest.raises(ExportFailed, match="'numpy_linear': it is not a linear classifier"):
            job.export()


class TestRegistry:
    def test_knows_the_formats_that_the_api_knows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(formats.MODULES, FORMAT.name)
        assert set(formats.MODULES) == set(ExportFormat)
        assert [each.name for each in formats.every()] == list(formats.MODULES)
        assert len({each.file for each in formats.every()}) == len(formats.MODULES)

    @pytest.mark.parametrize("name", list(ExportFormat))
    def test_each_format_is_documented_and_shows_how_it_is_used(self, name: str) -> None:
        chosen = formats.find(name)
        compile(chosen.usage(PREPROCESSING), name, "exec")
        assert f'"{chosen.file}"' in chosen.usage(PREPROCESSING)
        assert f"| `{chosen.file}` |" in DOCUMENT.read_text()
