"""People at work with the pages, in Chromium, against the real service."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from app.domain.states import TERMINAL_JOB_STATES
from tests.browser.running import KEY, Service, Watched, axe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

WAIT = 120_000
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}
Person = Callable[..., Watched]


def first_student(page: Page) -> None:
    """From the overview of an empty service to the page of its first job."""
    page.get_by_role("button", name="Use the digits").click()
    page.get_by_role("link", name="Train on it").click(timeout=WAIT)
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url("**/jobs/job_*")


def archive(folder: Path) -> Path:
    for label in ("cat", "dog"):
        for number in range(6):
            path = folder / "images" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (20 * number, 100, 200 if label == "cat" else 30)).save(path)
    return Path(shutil.make_archive(str(folder / "pets"), "zip", folder / "images"))


def state(page: Page, name: str) -> None:
    expect(page.locator("#progress .state")).to_have_text(name, timeout=WAIT)
    if name in TERMINAL_JOB_STATES:  # the page is loaded again then, which would abort going elsewhere
        expect(page.locator("#curves")).to_have_attribute("data-ended", "1", timeout=WAIT)


def test_a_first_student_by_clicks_alone_and_everything_is_accessible(service: Service, person: Person) -> None:
    me = person()
    page = me.page(service.url)
    expect(page.get_by_text("Three steps to a first student")).to_be_visible()
    assert axe(page) == []
    first_student(page)
    state(page, "succeeded")
    expect(page.locator("#charts canvas").first).to_be_visible(timeout=WAIT)
    expect(page.get_by_role("link", name="student.onnx")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="student.onnx").click()
    assert download.value.path().stat().st_size > 0
    job, dataset = page.url.removeprefix(service.url), page.locator(".sub a").first.get_attribute("href")
    paths = [
        "/",
        "/jobs",
        "/jobs/new",
        job,
        "/datasets",
        str(dataset),
        f"{dataset}/images",
        "/queue",
        "/keys",
        "/audit",
    ]
    for path in [*paths, "/webhooks", "/audit", "/tenants", "/nowhere"]:
        page.goto(service.url + path)
        assert axe(page) == [], path
    me.require_clean(service.url)

    dark = person(color_scheme="dark").page(service.url)
    phone = person(**PHONE, color_scheme="dark")
    small = phone.page(service.url)
    for path in paths:
        dark.goto(service.url + path)
        assert axe(dark) == [], path
        small.goto(service.url + path)
        assert small.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    assert axe(small) == []
    shade = dark.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, shade.removeprefix("rgb(").removesuffix(")").split(","))) < 60
    phone.require_clean(service.url)


def test_a_page_stays_open_through_a_restart_and_two_people_share_a_job(service: Service, person: Person) -> None:
    service.stack.hold(1, 2)
    ann, ben = person(), person()
    page = ann.page(service.url)
    first_student(page)
    state(page, "running")
    other = ben.page(page.url)
    state(other, "running")

    assert service.api is not None
    service.api.terminate()
    expect(page.get_by_text("Waiting for the server")).to_be_visible(timeout=WAIT)
    service.start_api()
    expect(page.get_by_text("Waiting for the server")).to_be_hidden(timeout=WAIT)

    other.get_by_role("button", name="Pause").click()
    service.stack.let_go()
    state(page, "paused")  # nobody has touched this page
    page.get_by_role("button", name="Resume").click()
    state(page, "succeeded")
    state(other, "succeeded")
    ann.require_clean(service.url)
    ben.require_clean(service.url)


def test_an_upload_goes_on_after_the_page_was_reloaded(service: Service, person: Person, tmp_path: Path) -> None:
    me = person()
    page = me.page(f"{service.url}/datasets")
    me.context.route("**/v1/uploads/*", lambda route: route.abort())  # the line is broken
    page.locator("#archive").set_input_files(archive(tmp_path))
    expect(page.locator("#uploads li")).to_be_visible()
    me.context.unroute("**/v1/uploads/*")
    page.reload()
    expect(page.get_by_role("heading", name="pets.zip")).to_be_visible(timeout=WAIT)
    expect(page.get_by_role("link", name="Train on it")).to_be_visible(timeout=WAIT)
    page.goto(f"{service.url}/datasets")
    page.locator("#folder").set_input_files(tmp_path / "images")
    expect(page.get_by_role("heading", name="images.tar")).to_be_visible(timeout=WAIT)
    expect(page.get_by_role("link", name="Train on it")).to_be_visible(timeout=WAIT)
    expect(page.get_by_role("link", name="cat")).to_be_visible()
    me.require_clean(service.url)


def test_the_keyboard_alone_signs_in_and_submits(make_service: Callable[..., Service], person: Person) -> None:
    service = make_service(TDMR_API_KEY=KEY)
    me = person(reduced_motion="reduce")
    page = me.page(f"{service.url}/datasets")
    assert page.url.endswith("/sign-in?next=%2Fdatasets") and axe(page) == []
    page.keyboard.type("tdmr_wrong")  # the field has the focus
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not valid")
    page.keyboard.type(KEY)
    page.keyboard.press("Enter")
    page.wait_for_url("**/datasets")
    page.goto(service.url)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Use the digits":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/datasets/ds_*")
    expect(page.get_by_role("link", name="Train on it")).to_be_visible(timeout=WAIT)
    page.get_by_role("link", name="Train on it").press("Enter")
    page.get_by_role("button", name="Start training").press("Enter")
    state(page, "succeeded")
    page.get_by_role("button", name="Sign out").press("Enter")
    page.goto(service.url)
    assert page.url.endswith("/sign-in")
    me.require_clean(service.url)
