"""POST /v1/jobs/{id}/predict: a student that was trained and exported for real, asked over HTTP."""

import asyncio
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from app.domain.access import Scope
from app.domain.config import ExportConfig, ExportFormat
from app.domain.errors import FileLost, PredictionsBusy, StoreUnavailable, UnusableImage
from app.domain.manifest import ArtifactFile, Manifest, Preprocessing
from app.domain.spec import TrainingSpec
from app.imaging import fit_square, open_rgb
from app.inference.predictor import WAITING, Prediction, Predictor
from app.inference.students import Exported, LoadedStudents, StoredFile
from app.services.leases import claim_job, finish_job
from app.storage.blobs import Blobs
from tests.integration.conftest import Service
from tests.integration.guarding import guard, key_of
from worker.training.export.manifest import write_manifest
from worker.training.export.prediction import predict
from worker.training.export.student import export_student

SIDE = 32
CLASSES = ("lying", "standing", "square")
PREPROCESSING = Preprocessing(
    resize_short_side=SIDE,
    center_crop=SIDE,
    interpolation="bicubic",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)


def picture(label: int, seed: int = 0) -> Image.Image:
    """A bright bar on noise, wider than high: label 0 lies, 1 stands, 2 is a square."""
    pixels = np.random.default_rng(seed).integers(0, 90, (40, 56, 3), dtype=np.uint8)
    height, width = [(6, 18), (18, 6), (12, 12)][label]
    pixels[10 : 10 + height, 18 : 18 + width] = 230
    return Image.fromarray(pixels)


def encoded(image: Image.Image, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


class Student:
    """Trained for a few steps, and what its export has left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        torch.manual_seed(0)
        self.network = timm.create_model("test_resnet", num_classes=len(CLASSES))
        labels = [number % 3 for number in range(48)]
        squares = np.stack([fit_square(picture(k, n), SIDE, "bicubic") for n, k in enumerate(labels)])
        self._train(squares, labels)
        export_student(
            self.network,
            config=ExportConfig(formats=(ExportFormat.ONNX,)),
            out_dir=folder,
            image_size=SIDE,
            classes=CLASSES,
            preprocessing=PREPROCESSING,
            fingerprint="f" * 64,
            eval_images_u8=squares[:8],
            eval_paths=[f"{number}.png" for number in range(8)],
            on_event=lambda *_, **__: None,
        )
        self.manifest: Manifest = write_manifest(
            folder,
            files=["student.onnx", "student.safetensors"],
            spec=TrainingSpec(student="test_resnet", method="scratch", image_size=SIDE),
            classes=CLASSES,
            preprocessing=PREPROCESSING,
            student={"architecture": "test_resnet"},
            teacher=None,
            dataset={},
            device="cpu",
            metrics={},
            seconds={},
            parity={},
        )

    def _train(self, squares: np.ndarray, labels: list[int]) -> None:
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (PREPROCESSING.mean, PREPROCESSING.std))
        images = (torch.from_numpy(squares).permute(0, 3, 1, 2) / 255 - mean) / std
        optimiser = torch.optim.AdamW(self.network.parameters(), 3e-3)
        self.network.train()
        for _ in range(15):
            loss = torch.nn.functional.cross_entropy(self.network(images), torch.tensor(labels))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    def probabilities(self, data: bytes) -> dict[str, float]:
        """What the torch student says, by the way of the evaluation."""
        square = fit_square(open_rgb(data), SIDE, PREPROCESSING.interpolation)
        logits = predict(self.network, square[None], PREPROCESSING.mean, PREPROCESSING.std, batch_size=1, device="cpu")
        return dict(zip(CLASSES, torch.softmax(torch.from_numpy(logits[0]).double(), 0).tolist(), strict=True))

    def publish(self, service: Service, *names: str) -> str:
        """As the files of a job of one student, or of several with these names; gives its URL."""
        job_id = service.submit(**({"student": None, "students": list(names)} if names else {}))
        with service.store.write() as session:
            claim = claim_job(session, job_id, "wk_1")
        assert claim is not None
        files = []
        for prefix in [f"{name}/" for name in names] or [""]:
            for name in ("student.onnx", "manifest.json"):
                content = (self.folder / name).read_bytes()
                service.put_artifact(job_id, claim.epoch, prefix + name, content)
                sha256 = hashlib.sha256(content).hexdigest()
                files.append(ArtifactFile(name=prefix + name, bytes=len(content), sha256=sha256, media_type="x/y"))
        with service.store.write() as session:
            assert finish_job(session, claim, files, None, {})
        return f"/v1/jobs/{job_id}"

    def store(self, blobs: Blobs) -> Exported:
        """In a storage alone, without a job."""
        found = []
        for name in ("student.onnx", "manifest.json"):
            blobs.put_file(f"a/{name}", self.folder / name)
            content = (self.folder / name).read_bytes()
            found.append(StoredFile(f"a/{name}", len(content), hashlib.sha256(content).hexdigest()))
        return Exported(*found)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return Student(tmp_path_factory.mktemp("student"))


class TestPredict:
    def test_says_what_the_trained_student_says(self, service: Service, student: Student) -> None:
        url = f"{student.publish(service)}/predict"
        for label, name in enumerate(CLASSES):
            data = encoded(picture(label, seed=100 + label), "JPEG" if label else "PNG")
            body = service.http.post(url, files={"file": ("a.jpg", data)}).json()
            assert body["object"] == "prediction"
            assert (body["student"], body["file"]) == ("mobilenetv3_small_050", "student.onnx")
            assert body["preprocessing"] == PREPROCESSING.model_dump(mode="json")
            assert 0 < body["latency_ms"] < 60_000
            assert body["predictions"][0]["class"] == name
            expected = student.probabilities(data)
            told = {item["class"]: item["probability"] for item in body["predictions"]}
            assert told == pytest.approx(expected, abs=1e-5)
            assert list(told) == sorted(expected, key=lambda key: -expected[key])
        raw = service.http.post(f"{url}?top_k=1", content=data, headers={"Content-Type": "image/jpeg"}).json()
        assert raw["predictions"] == body["predictions"][:1]

    def test_asks_which_of_several(self, service: Service, student: Student) -> None:
        url = f"{student.publish(service, 'resnet50', 'mobilenetv3_small_050')}/predict"
        image = {"file": encoded(picture(0))}
        answer = service.http.post(url, files=image)
        assert (answer.status_code, answer.json()["param"]) == (422, "student")
        assert answer.json()["code"] == "student_required"
        body = service.http.post(url, params={"student": "resnet50"}, files=image).json()
        assert (body["student"], body["file"]) == ("resnet50", "resnet50/student.onnx")

    def test_refuses_what_is_no_usable_image(self, service: Service, student: Student) -> None:
        url = f"{student.publish(service)}/predict"
        bomb = encoded(Image.new("1", (9000, 9000)))  # 81 million pixels in a few kilobytes
        for data, code in (
            (b"GIF89a not really", "unusable_image"),
            (b"", "unusable_image"),
            (bomb, "unusable_image"),
            (encoded(picture(0))[:200], "unusable_image"),
        ):
            answer = service.http.post(url, files={"file": data})
            assert (answer.status_code, answer.json()["code"]) == (422, code), data[:20]
            assert answer.json()["param"] == "file"
        assert "81000000" in service.http.post(url, files={"file": bomb}).text.replace("9000 × 9000", "81000000")
        for body, media_type, status in (
            (b"x", "text/plain", 415),
            (b"x", "multipart/form-data", 400),
            (b"x" * (service.settings.max_predict_bytes + 1), "image/png", 413),
        ):
            answer = service.http.post(url, content=body, headers={"Content-Type": media_type})
            assert answer.status_code == status, answer.text
        two = service.http.post(url, files={"file": b"x"}, data={"name": "n"})
        assert (two.status_code, two.json()["code"]) == (400, "malformed_request")

    def test_needs_a_job_that_has_a_student_to_ask(self, service: Service, student: Student) -> None:
        image = {"file": encoded(picture(0))}
        answer = service.http.post(f"/v1/jobs/{service.submit()}/predict", files=image)
        assert (answer.status_code, answer.json()["code"]) == (409, "job_not_succeeded")
        job_id = service.submit()
        with service.store.write() as session:
            claim = claim_job(session, job_id, "wk_1")
            assert claim is not None
            assert finish_job(session, claim, [], None, {})
        answer = service.http.post(f"/v1/jobs/{job_id}/predict", files=image)
        assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_predict_with")
        assert "onnx" in answer.json()["hint"]

    def test_needs_the_scope_read_alone(self, service: Service, student: Student) -> None:
        url = f"{student.publish(service)}/predict"
        with guard(service) as http:
            for scope, status in ((Scope.READ, 200), (Scope.WRITE, 403)):
                answer = http.post(url, files={"file": encoded(picture(0))}, headers=key_of(service, "default", scope))
                assert answer.status_code == status
            assert http.post(url, files={"file": b"x"}, headers=key_of(service, "other")).status_code == 404


def test_loads_no_torch(service: Service, student: Student) -> None:
    """In an API process of its own, after a prediction."""
    url = student.publish(service)
    image = service.tmp_path / "a.png"
    image.write_bytes(encoded(picture(1)))
    script = (
        "import json, sys\n"
        "from fastapi.testclient import TestClient\n"
        "from app.main import create_app\n"
        "with TestClient(create_app(), base_url='http://127.0.0.1') as http:\n"
        "    answer = http.post(sys.argv[1] + '/predict', files={'file': open(sys.argv[2], 'rb')}).json()\n"
        "heavy = {'torch', 'torchvision', 'timm', 'onnx', 'worker', 'onnxruntime'} & set(sys.modules)\n"
        "print(json.dumps([answer['predictions'][0]['class'], sorted(heavy)]))\n"
    )
    environment = os.environ | {
        "TDMR_HOME": str(service.settings.home),
        "TDMR_DATABASE_URL": service.settings.database_url,
    }
    command = [sys.executable, "-c", script, url, str(image)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=200)
    assert json.loads(done.stdout) == ["standing", ["onnxruntime"]]


class TestLoadedStudents:
    def test_are_forgotten_when_they_take_too_much(self, student: Student, tmp_path: Path) -> None:
        blobs = Blobs(tmp_path.as_uri())
        exported = student.store(blobs)
        again = Exported(exported.network, exported.manifest)
        kept = LoadedStudents(blobs, 2 * exported.network.bytes)
        first = kept.get(exported)
        assert kept.get(again) is first
        assert kept.kept_bytes == exported.network.bytes
        small = LoadedStudents(blobs, exported.network.bytes - 1)
        assert small.get(exported) is not small.get(exported)
        assert small.kept_bytes == 0

    def test_are_those_that_were_published(self, student: Student, tmp_path: Path) -> None:
        blobs = Blobs(tmp_path.as_uri())
        exported = student.store(blobs)
        altered = bytearray((student.folder / "student.onnx").read_bytes())
        altered[len(altered) // 2] ^= 1
        (tmp_path / "other").write_bytes(altered)
        blobs.put_file("a/student.onnx", tmp_path / "other")
        with pytest.raises(FileLost, match="differs from the published"):
            LoadedStudents(blobs, 10**9).get(exported)
        blobs.delete("a/student.onnx")
        with pytest.raises(FileLost, match="no longer has"):
            LoadedStudents(blobs, 10**9).get(exported)


class Loaded:
    """A predictor that has the student in memory."""

    def __init__(self, student: Student, folder: Path, cpu_seconds: float) -> None:
        blobs = Blobs(folder.as_uri())
        self.exported = student.store(blobs)
        self.predictor = Predictor(blobs, at_once=1, cache_bytes=10**9, max_pixels=10**8, cpu_seconds=cpu_seconds)
        asyncio.run(self.predict(encoded(picture(1)), 60))

    def predict(self, data: bytes, within_seconds: float) -> Coroutine[None, None, Prediction]:
        return self.predictor.predict(self.exported, data, within_seconds)


class TestSlowPicture:
    """Its student is loaded, so no storage is to blame."""

    SLOW = encoded(Image.new("RGB", (8000, 8000)))

    def test_that_takes_its_decoder_too_long_is_unusable(self, student: Student, tmp_path: Path) -> None:
        loaded = Loaded(student, tmp_path, cpu_seconds=0.05)
        try:
            with pytest.raises(UnusableImage, match="took too long"):
                asyncio.run(loaded.predict(self.SLOW, 60))
            assert asyncio.run(loaded.predict(encoded(picture(1)), 60)).probabilities[0][0] == "standing"
        finally:
            loaded.predictor.close()

    def test_that_a_busy_machine_does_not_get_done_is_to_be_sent_again(self, student: Student, tmp_path: Path) -> None:
        loaded = Loaded(student, tmp_path, cpu_seconds=60)
        try:
            with pytest.raises(PredictionsBusy):
                asyncio.run(loaded.predict(self.SLOW, 0.05))
        finally:
            loaded.predictor.close()


class TestPredictor:
    def test_takes_so_many_and_no_more(self, student: Student, tmp_path: Path) -> None:
        blobs = Blobs(tmp_path.as_uri())
        exported = student.store(blobs)
        predictor = Predictor(blobs, at_once=1, cache_bytes=10**9, max_pixels=10**8)
        slow, image = encoded(Image.new("RGB", (6000, 6000))), encoded(picture(1))

        async def ask() -> list[object]:
            asked = [predictor.predict(exported, data, 0.05) for data in [slow, *[image] * (WAITING + 1)]]
            return await asyncio.gather(*asked, return_exceptions=True)

        try:
            errors = asyncio.run(ask())
            # of the first, either the student or the picture was not there in time
            assert isinstance(errors[0], StoreUnavailable | PredictionsBusy)
            assert [type(error) for error in errors[1:]] == [PredictionsBusy] * (WAITING + 1)
            made = asyncio.run(predictor.predict(exported, image, 60))
            assert made.probabilities[0][0] == "standing"
        finally:
            predictor.close()
