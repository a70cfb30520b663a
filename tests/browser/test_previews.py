"""The student of the moment: looked at, tried on a file and the camera, downloaded, and kept, in Chromium."""

import hashlib
import json
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from app.domain.previews import PREVIEW_ONNX, PREVIEW_WEIGHTS, PreviewMark, wanted_name
from tests.browser.running import Service, axe
from tests.browser.test_pages import PHONE, WAIT, Person, first_student, state
from tests.integration.jobs.test_previews import network
from tests.integration.supervising import wait_for

SLOW_CAMERA = """() => void (navigator.mediaDevices.getUserMedia = async () => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [64, 48];
  const pen = canvas.getContext("2d");
  const stream = canvas.captureStream(0);
  const show = () => { pen.fillRect(0, 0, 64, 48); stream.getVideoTracks()[0].requestFrame(); };
  setTimeout(() => setInterval(show, 100), 1500);
  return stream;
})
"""
"""Allowed at once; its first picture comes later, as on a phone."""
NO_CAMERA = """() => void (navigator.mediaDevices.getUserMedia = async () => {
  throw new DOMException("Permission denied", "NotAllowedError");
})
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Child:
    """The job's child, which waits half way and says what the test wants."""

    def __init__(self, service: Service, page: Page) -> None:
        self.said = service.stack.control / "say"
        job_id = page.url.rpartition("/")[2]
        self.out = service.stack.settings.scratch / "jobs" / job_id / "out"
        wait_for((self.out / "half way").exists)
        self.student = page.request.get(page.url, headers={"Accept": "application/json"}).json()["spec"]["student"]

    def say(self, **line: object) -> None:
        with self.said.open("a") as told:
            told.write(json.dumps(line) + "\n")

    def metric(self, stage: str, step: int, **values: float) -> None:
        self.say(type="metric", stage=stage, step=step, values=values)

    def write(self, name: str, content: bytes, mark: PreviewMark) -> None:
        file = self.out / "preview" / f"{mark.step}-{name}"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        described = {
            "name": str(file.relative_to(self.out)),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "media_type": "application/octet-stream",
        }
        self.say(type="preview", mark=mark.model_dump(mode="json"), name=name, file=described)


def take_a_picture(page: Page) -> None:
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_role("button", name="Take the picture").click()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.new("RGB", (20, 10), (200, 0, 0)).save(path)
    return path


def test_a_preview_is_tried_downloaded_and_kept(service: Service, person: Person, photo: Path) -> None:
    service.stack.hold(1)
    me = person(permissions=["camera"])
    page = me.page(service.url)
    first_student(page)
    state(page, "running")
    expect(page.get_by_role("heading", name="The student of the moment")).to_be_hidden()
    child = Child(service, page)
    mark = PreviewMark(student=child.student, step=5, steps=20, val_accuracy=0.75)
    child.write(PREVIEW_WEIGHTS, b"weights", mark)
    child.metric("distill", 5, loss=0.2, val_accuracy=0.75)
    preview = page.locator("#preview")
    expect(preview).to_contain_text("75.0\u00a0% on the validation images", timeout=WAIT)  # nobody has touched the page
    expect(preview).to_contain_text("step 5 of 20")
    assert axe(page) == []
    page.set_viewport_size(PHONE["viewport"])
    box = preview.locator(".title").bounding_box()
    assert box is not None and box["width"] > 200, "the buttons leave room for the words"

    answer = page.locator("#try-answer")
    page.locator("#try-file").set_input_files(photo)
    expect(answer).to_contain_text("The preview is being made.", timeout=WAIT)
    wait_for((child.out / wanted_name(child.student)).exists)
    child.write(PREVIEW_ONNX, network(mark), mark)
    expect(answer.locator("b").first).to_have_text("b", timeout=WAIT)
    expect(answer).to_contain_text("at step 5 of 20, 75.0 % on the validation images")
    with page.expect_download(timeout=WAIT) as download:
        page.get_by_role("link", name="Download student.preview.onnx").click()
    assert download.value.path().read_bytes() == network(mark)

    take_a_picture(page)
    expect(page.locator("#try-seen")).not_to_have_js_property("naturalWidth", 20)
    expect(answer.locator("b").first).to_have_text("b", timeout=WAIT)
    page.evaluate(NO_CAMERA)
    page.get_by_role("button", name="Use the camera").click()
    expect(answer).to_have_text("The camera cannot be used: Permission denied")
    page.evaluate(SLOW_CAMERA)
    take_a_picture(page)
    expect(page.locator("#try-seen")).to_have_js_property("naturalWidth", 64)
    expect(answer.locator("b").first).to_have_text("b", timeout=WAIT)

    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel, keep the preview").click()
    state(page, "cancelled")
    expect(page.get_by_role("link", name=PREVIEW_ONNX)).to_be_visible(timeout=WAIT)
    page.locator("#try-file").set_input_files(photo)
    expect(answer.locator("b").first).to_have_text("b", timeout=WAIT)
    assert axe(page) == []
    me.require_clean(service.url)


def test_curves_show_what_the_student_is_held_against(service: Service, person: Person) -> None:
    service.stack.hold(1)
    me = person()
    page = me.page(service.url)
    first_student(page)
    child = Child(service, page)
    rounds = page.request.get(page.url, headers={"Accept": "application/json"}).json()["spec"]["reprogram"]["steps"]
    child.metric("reprogram", rounds, loss=1.0, val_accuracy=0.6)
    levels = {"teacher_val_accuracy": 0.8, "probe_val_accuracy": 0.7}
    child.metric("reprogram", 2 * rounds, loss=0.5, val_accuracy=0.78, **levels)
    for step, accuracy in ((4, 0.5), (8, 0.85)):
        child.metric("distill", step, loss=1 / step, val_accuracy=accuracy)
    child.say(type="event", code="labels_lead", message="After 8 of 20 steps the student has passed its teacher.")
    student = page.get_by_role("img", name="Student: accuracy on validation images")
    expect(student).to_have_accessible_name(
        "Student: accuracy on validation images; teacher 80.0 %; probe 70.0 %; labels lead from step 8", timeout=WAIT
    )
    expect(student.locator(".u-legend")).to_contain_text("teacher 80.0 %")
    rounds_marked = page.get_by_role("img", name="Teacher: accuracy on validation images")
    expect(rounds_marked).to_have_accessible_name(f"Teacher: accuracy on validation images; round 2 from step {rounds}")
    assert axe(page) == []
    service.stack.let_go()
    state(page, "succeeded")
    expect(student).to_have_accessible_name(
        "Student: accuracy on validation images; teacher 80.0 %; probe 70.0 %; labels lead from step 8", timeout=WAIT
    )

    # another one beside it
    first = page.url
    service.stack.hold(1)
    page.get_by_role("button", name="Run again").click()
    page.wait_for_url(lambda url: "/jobs/job_" in url and url != first)
    again = Child(service, page)
    for step, accuracy in ((4, 0.6), (8, 0.9)):
        again.metric("distill", step, loss=1 / step, val_accuracy=accuracy)
    service.stack.let_go()
    state(page, "succeeded")
    both = [url.rpartition("/")[2] for url in (first, page.url)]
    page.goto(f"{service.url}/jobs/compare?ids={','.join(both)}")
    for title in ("Student: accuracy on validation images", "Student: loss"):
        legend = page.get_by_role("img", name=title).locator(".u-legend")
        for job_id in both:
            expect(legend).to_contain_text(f"…{job_id[-6:]}", timeout=WAIT)
    assert axe(page) == []
    me.require_clean(service.url)
