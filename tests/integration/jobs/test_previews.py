"""Previews from the child's line to the client: a real supervisor, either database, over HTTP."""

import hashlib
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from fastapi.testclient import TestClient
from onnx import TensorProto, helper
from PIL import Image

from app.db.models import Job
from app.db.queries import jobs as queries
from app.domain.manifest import Preprocessing
from app.domain.previews import PREVIEW_NOTE, PREVIEW_ONNX, PREVIEW_WEIGHTS, PreviewMark, wanted_name
from app.domain.states import JobState, StopRequest
from app.queue import make_celery
from tests.integration.supervising import Harness, wait_for
from tests.support import client_of
from worker.reconciler import Reconciler

MARK = PreviewMark(student="test_vit", step=5, steps=20, val_accuracy=0.75)
PNG = io.BytesIO()
Image.new("RGB", (8, 8), (200, 0, 0)).save(PNG, "PNG")


def network(mark: PreviewMark) -> bytes:
    """An ONNX file of 8 px that always says `b`, marked as the training does."""
    how = Preprocessing(resize_short_side=8, center_crop=8, interpolation="bilinear", mean=(0, 0, 0), std=(1, 1, 1))
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 8, 8])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2])
    says_b = helper.make_tensor("says_b", TensorProto.FLOAT, [1, 2], [0.0, 3.0])
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])
    nodes = [
        helper.make_node("ReduceSum", ["images"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["says_b", "nothing"], ["logits"]),
    ]
    graph = helper.make_graph(nodes, "g", [images], [logits], [says_b, zero])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    notes = {
        "classes": json.dumps(["a", "b"]),
        "preprocessing": how.model_dump_json(),
        PREVIEW_NOTE: mark.model_dump_json(),
    }
    helper.set_model_props(model, notes)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """The child waits half way."""
    folder = tmp_path / "orders"
    folder.mkdir()
    (folder / "hold").write_text("1")
    return folder


@pytest.fixture
def http(harness: Harness) -> Iterator[TestClient]:
    # a request may take as long as a busy machine needs
    with client_of(harness.settings.model_copy(update={"request_seconds": 60.0})) as client:
        yield client


class Child:
    """A job whose child waits half way and writes previews as the test says."""

    def __init__(self, harness: Harness, orders: Path, **spec: Any) -> None:
        self.harness, self.orders = harness, orders
        self.job_id = harness.submit(**spec)
        self.url = f"/v1/jobs/{self.job_id}"
        self.out = harness.out(self.job_id)
        self.thread = threading.Thread(target=harness.supervisor(f"obeys {orders}").run_next)
        self.thread.start()
        wait_for((self.out / "half way").exists)

    def write(self, name: str, content: bytes, mark: PreviewMark = MARK) -> None:
        """And wait until it is in the storage."""
        file = self.out / "preview" / mark.student / f"{mark.step}-{name}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        described = {
            "name": str(file.relative_to(self.out)),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "media_type": "application/octet-stream",
        }
        line = {"type": "preview", "mark": mark.model_dump(mode="json"), "name": name, "file": described}
        with (self.orders / "say").open("a") as told:
            told.write(json.dumps(line) + "\n")

        def is_stored() -> bool:
            with self.harness.store.read() as session:
                row = queries.get_preview(session, self.job_id, mark.student, name)
            return row is not None and row.sha256 == described["sha256"]

        wait_for(is_stored)

    def let_go(self) -> None:
        (self.orders / "hold").unlink(missing_ok=True)
        self.thread.join()

    def previews(self) -> list[str]:
        return [name for name in self.harness.stored(self.job_id) if name.startswith("previews/")]


@pytest.fixture
def child(harness: Harness, orders: Path) -> Iterator[Child]:
    child = Child(harness, orders)
    yield child
    child.let_go()


def predict(http: TestClient, url: str, **query: str) -> Any:
    return http.post(f"{url}/predict", params={"preview": "true", **query}, files={"file": ("a.png", PNG.getvalue())})


class TestPreview:
    def test_is_asked_for_made_and_used(self, child: Child, http: TestClient) -> None:
        url = f"{child.url}/artifacts/{PREVIEW_ONNX}"
        early = http.get(url)
        assert (early.status_code, early.json()["code"]) == (409, "preview_not_ready")
        child.write(PREVIEW_WEIGHTS, b"weights")
        weights = http.get(f"{child.url}/artifacts/{PREVIEW_WEIGHTS}")
        assert weights.content == b"weights"
        assert weights.headers["Preview-Step"] == "5" and weights.headers["Preview-Steps"] == "20"
        assert weights.headers["Preview-Accuracy"] == "0.7500"
        assert http.get(url).json()["detail"] == "The preview is being made."
        wait_for((child.out / wanted_name("test_vit")).exists)  # the child sees that somebody waits

        content = network(MARK)
        child.write(PREVIEW_ONNX, content)
        answer = http.get(url)
        assert (answer.content, answer.headers["Preview-Step"]) == (content, "5")
        assert http.head(url).headers["Content-Length"] == str(len(content))
        prediction = predict(http, child.url)
        assert prediction.status_code == 200, prediction.text
        body = prediction.json()
        assert (body["file"], body["predictions"][0]["class"]) == (PREVIEW_ONNX, "b")
        assert PreviewMark.model_validate(body["preview"]) == MARK
        with child.harness.store.read() as session:
            assert session.get_one(Job, child.job_id).preview_wanted is None

    def test_a_newer_one_takes_its_place(self, child: Child, http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("worker.previews.COPY_SECONDS", 0.0)
        later = MARK.model_copy(update={"step": 10, "val_accuracy": 0.8})
        child.write(PREVIEW_WEIGHTS, b"weights")
        child.write(PREVIEW_ONNX, network(MARK))
        child.write(PREVIEW_WEIGHTS, b"later weights", later)
        wait_for(lambda: len(child.previews()) == 2)
        assert sorted(child.previews()) == [
            f"previews/e1/test_vit/10/{PREVIEW_WEIGHTS}",
            f"previews/e1/test_vit/5/{PREVIEW_ONNX}",
        ]
        # what there is is given, and the next one is asked for
        assert http.get(f"{child.url}/artifacts/{PREVIEW_ONNX}").headers["Preview-Step"] == "5"
        wait_for((child.out / wanted_name("test_vit")).exists)
        child.write(PREVIEW_ONNX, network(later), later)
        assert predict(http, child.url).json()["preview"]["step"] == 10

    def test_of_a_job_that_succeeds_is_replaced(self, child: Child, http: TestClient) -> None:
        child.write(PREVIEW_WEIGHTS, b"weights")
        child.let_go()
        assert child.harness.job(child.job_id).state == JobState.SUCCEEDED
        for answer in (http.get(f"{child.url}/artifacts/{PREVIEW_WEIGHTS}"), predict(http, child.url)):
            assert (answer.status_code, answer.json()["code"]) == (410, "preview_gone")
            assert "student.onnx" in answer.json()["hint"]
        assert child.previews()
        reconcile(child.harness)
        assert child.previews() == []

    def test_is_not_part_of_a_checkpoint(self, child: Child) -> None:
        child.write(PREVIEW_WEIGHTS, b"weights")
        child.harness.ask(child.job_id, StopRequest.PAUSE)
        child.thread.join()
        assert child.harness.job(child.job_id).state == JobState.PAUSED
        stored = child.harness.blobs.open(f"jobs/{child.job_id}/checkpoints/e1.tar")
        with stored:
            assert b"preview" not in stored.read()

    def test_cannot_be_made_of_a_paused_job_and_its_weights_stay(self, child: Child, http: TestClient) -> None:
        child.write(PREVIEW_WEIGHTS, b"weights")
        child.harness.ask(child.job_id, StopRequest.PAUSE)
        child.thread.join()
        answer = http.get(f"{child.url}/artifacts/{PREVIEW_ONNX}")
        assert (answer.status_code, answer.json()["code"]) == (409, "preview_not_ready")
        assert "paused" in answer.json()["detail"]
        assert http.get(f"{child.url}/artifacts/{PREVIEW_WEIGHTS}").content == b"weights"

    def test_of_an_unknown_student_or_job_does_not_exist(self, child: Child, http: TestClient) -> None:
        assert predict(http, child.url, student="resnet18").status_code == 404
        assert http.get(f"{child.url}/artifacts/resnet18/{PREVIEW_ONNX}").status_code == 404
        assert http.get(f"/v1/jobs/job_{'0' * 26}/artifacts/{PREVIEW_ONNX}").status_code == 404

    def test_goes_with_its_job(self, child: Child, http: TestClient) -> None:
        child.write(PREVIEW_WEIGHTS, b"weights")
        child.let_go()
        assert http.delete(child.url).status_code == 204
        assert child.harness.stored(child.job_id) == []


class TestSeveralStudents:
    def test_have_one_each(self, harness: Harness, orders: Path, http: TestClient) -> None:
        child = Child(harness, orders, students=("test_vit", "test_resnet"))
        try:
            child.write(PREVIEW_WEIGHTS, b"weights")
            url = f"{child.url}/artifacts"
            assert http.get(f"{url}/{PREVIEW_WEIGHTS}").json()["code"] == "student_required"
            assert predict(http, child.url).json()["code"] == "student_required"
            assert http.get(f"{url}/test_vit/{PREVIEW_WEIGHTS}").content == b"weights"
            assert http.get(f"{url}/test_resnet/{PREVIEW_WEIGHTS}").json()["code"] == "preview_not_ready"
            assert http.get(f"{url}/test_vit/{PREVIEW_ONNX}").status_code == 409
            wait_for((child.out / wanted_name("test_vit")).exists)
        finally:
            child.let_go()


class TestCancel:
    def test_may_keep_it(self, child: Child, http: TestClient) -> None:
        child.write(PREVIEW_WEIGHTS, b"weights")
        child.write(PREVIEW_ONNX, network(MARK))
        assert http.post(f"{child.url}/cancel", json={"keep_preview": True}).status_code == 202
        child.thread.join()
        assert child.harness.job(child.job_id).state == JobState.CANCELLED
        reconcile(child.harness)
        listed = http.get(f"{child.url}/artifacts").json()["data"]
        assert [file["name"] for file in listed] == [PREVIEW_ONNX, PREVIEW_WEIGHTS]
        assert http.get(f"{child.url}/artifacts/{PREVIEW_WEIGHTS}").content == b"weights"
        assert PreviewMark.model_validate(predict(http, child.url).json()["preview"]) == MARK
        assert http.delete(child.url).status_code == 204
        assert child.harness.stored(child.job_id) == []

    def test_drops_it_otherwise(self, child: Child, http: TestClient) -> None:
        child.write(PREVIEW_WEIGHTS, b"weights")
        assert http.post(f"{child.url}/cancel").status_code == 202
        child.thread.join()
        reconcile(child.harness)
        assert child.previews() == []
        assert http.get(f"{child.url}/artifacts").json()["data"] == []
        answer = http.get(f"{child.url}/artifacts/{PREVIEW_WEIGHTS}")
        assert (answer.status_code, answer.json()["code"]) == (410, "preview_gone")
        assert "keep_preview" in answer.json()["hint"]

    def test_of_a_paused_job_may_keep_it_too(self, child: Child, http: TestClient) -> None:
        child.write(PREVIEW_WEIGHTS, b"weights")
        child.harness.ask(child.job_id, StopRequest.PAUSE)
        child.thread.join()
        assert http.post(f"{child.url}/cancel", json={"keep_preview": True}).json()["state"] == "cancelled"
        assert http.get(f"{child.url}/artifacts/{PREVIEW_WEIGHTS}").content == b"weights"

    @pytest.mark.parametrize("body", [{"keep_preview": "yes"}, {"keep": True}, []])
    def test_refuses_another_body(self, child: Child, http: TestClient, body: Any) -> None:
        assert http.post(f"{child.url}/cancel", json=body).status_code == 422
        assert child.harness.job(child.job_id).stop_requested is None


def reconcile(harness: Harness) -> None:
    Reconciler(
        harness.settings, harness.store, harness.blobs, make_celery(harness.settings), threading.Event()
    ).delete_leftovers()
