"""Every page in light, in dark and on a phone, with real images, a real teacher and a real student in them:
`python -m benchmarks.service.pages.captures --data clothing.zip --weights FOLDER --out FOLDER [--strip FILE.png]`.

It starts the service in a home of its own and goes from the empty server to the first student by clicks; `--strip`
writes that way as one picture. Then a second job gives something to compare and something that runs.
"""

import argparse
import os
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page

from benchmarks.common.service import Client, running_client
from benchmarks.service.api_process import ApiProcess
from benchmarks.service.pages.browser import DESKTOP, PHONE, chromium
from benchmarks.service.pages.film_strip import Step, draw

SCHEMES = {
    "light": DESKTOP,
    "dark": DESKTOP | {"color_scheme": "dark"},
    "phone": PHONE,
    "phone-dark": PHONE | {"color_scheme": "dark"},
}
PATIENCE = 1_800_000
"""Milliseconds."""
SHARES = {"train": 1.0, "validation": 0.5, "val": 0.5, "test": 0.8}
"""Images of a class in each split, as a part of those in train."""
UNLABELLED = 3
"""Images without a label, times those of a class in train."""


def subset(whole: Path, target: Path, images: int) -> Path:
    """Some images of each class and split, and some of train without a label, so that all of it takes minutes."""
    taken: dict[str, int] = {}
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(target, "w") as archive:
        for name in sorted(source.namelist()):
            split, _, rest = name.partition("/")
            if name.endswith("/") or split not in SHARES:
                continue
            folder, more = name.rpartition("/")[0], "unlabeled"
            taken[folder] = taken.get(folder, 0) + 1
            if taken[folder] <= SHARES[split] * images:
                archive.writestr(name, source.read(name))
            elif split == "train" and taken.get(more, 0) < UNLABELLED * images:
                taken[more] = taken.get(more, 0) + 1
                archive.writestr(f"{more}/{rest.rpartition('/')[2]}", source.read(name))
    return target


def ambiguous(archive: Path, target: Path) -> Path:
    """The test images below two sites, so that the import has to ask."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(target, "w") as written:
        names = [name for name in source.namelist() if name.startswith("test/")]
        for number, name in enumerate(names):
            written.writestr(f"site {'ab'[number % 2]}/{name.removeprefix('test/')}", source.read(name))
    return target


@dataclass
class Way:
    """From the empty server to the first student."""

    page: Page
    began: float = field(default_factory=time.monotonic)
    steps: list[Step] = field(default_factory=list)

    def walk(self, archive: Path, teacher: str, student: str, knobs: dict[str, int]) -> str:
        """Returns the path of the job's page."""
        page = self.page
        self._seen("Open the empty server")
        page.get_by_role("link", name="Upload my own").click()
        page.locator("#archive").set_input_files(archive)
        page.get_by_role("link", name="Train on it").wait_for(timeout=PATIENCE)
        self._seen("Drop an archive: every image is checked")
        page.get_by_role("link", name="Train on it").click()
        page.locator(f"input[name=teacher][value='{teacher}']").check()
        for box in page.locator("input[name=students]:checked").all():
            box.uncheck()
        page.locator("[name=student_names]").fill(student)
        for group in page.locator("details.knobs > summary").all():
            group.click()
        for name, value in knobs.items():
            page.locator(f"[name='{name}']").fill(str(value))
        for group in page.locator("details.knobs > summary").all():
            group.click()
        page.locator("#estimate p").first.wait_for()
        page.evaluate("scrollTo(0, 0)")
        self._seen("Choose teacher and student")
        page.get_by_role("button", name="Start training").click()
        page.wait_for_url("**/jobs/job_*")
        page.locator("#preview:not([hidden])").wait_for(timeout=PATIENCE)
        page.locator("#charts").scroll_into_view_if_needed()
        time.sleep(2)
        self._seen("Watch it learn")
        page.locator(".lead").wait_for(timeout=PATIENCE)
        page.locator("#charts canvas").first.wait_for()
        self._seen("Read how good it is")
        page.locator("#try-file").set_input_files(self._photo(archive))
        page.locator("#try-answer .guess").wait_for()
        page.locator("#try").scroll_into_view_if_needed()
        self._seen("Try it, take the file")
        return page.url.partition("//")[2].partition("/")[2]

    def _photo(self, archive: Path) -> Path:
        with zipfile.ZipFile(archive) as source:
            name = next(name for name in source.namelist() if name.startswith("test/"))
            photo = archive.with_name("photo.jpg")
            photo.write_bytes(source.read(name))
        return photo

    def _seen(self, words: str) -> None:
        seconds = time.monotonic() - self.began
        print(f"{seconds:7.1f} s  {words}", flush=True)
        self.steps.append(Step(words, seconds, self.page.screenshot()))


def capture(browser: Browser, url: str, pages: dict[str, str], out: Path) -> None:
    """Whole pages; lazy pictures are given the time to arrive."""
    for scheme, options in SCHEMES.items():
        context = browser.new_context(**options)
        page = context.new_page()
        for name, path in pages.items():
            page.goto(url + path)
            page.evaluate("scrollTo(0, document.body.scrollHeight)")
            page.wait_for_timeout(1500)
            page.evaluate("scrollTo(0, 0)")
            page.screenshot(path=out / f"{name}-{scheme}.png", full_page=True)
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if wide > 0:
                print(f"{name} is {wide} px too wide ({scheme})", flush=True)
        context.close()


def ended_pages(client: Client, job: str) -> Iterator[tuple[str, str]]:
    yield "job-ended", f"/{job}"
    cells = client.get(f"/v1/{job}/evaluation")["cells"]
    cell = max((each for each in cells if each["label"] != each["predicted"]), key=lambda each: each["count"])
    yield "cell", f"/{job}/cell?label={cell['label']}&predicted={cell['predicted']}"


def sign_in(browser: Browser, folder: Path, out: Path) -> None:
    api = ApiProcess(folder, TDMR_API_KEY="tdmr_captures")
    api.start()
    try:
        capture(browser, api.url, {"sign-in": "/sign-in"}, out)
    finally:
        api.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="An archive with train/, validation/ and test/.")
    parser.add_argument("--weights", type=Path, required=True, help="Folder of teachers.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--strip", type=Path, help="Where to write the way as one PNG.")
    parser.add_argument("--images", type=int, default=30, help="Of a class, in train.")
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--teacher", default="tf_efficientnet_lite2.in1k")
    parser.add_argument("--student", default="tf_efficientnet_lite0")
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--image-steps", type=int, default=4000)
    parser.add_argument("--reprogram-steps", type=int, default=100)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ |= {"TDMR_MODELS_DIR": str(options.weights.resolve()), "TDMR_HUB": "false", "TDMR_MEASURE": "false"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = subset(options.data, folder / "clothing.zip", options.images)
        with running_client(folder / "home", folder / "service.log") as client, chromium() as browser:
            while client.http.get("/v1/students").is_error:  # on a busy machine a worker takes its time to begin
                time.sleep(1)
            capture(browser, client.url, {"empty": "/", "no-data-sets": "/datasets", "no-jobs": "/jobs"}, options.out)
            way = Way(browser.new_context(**DESKTOP).new_page())
            way.page.goto(client.url)
            knobs = {
                "image_size": options.image_size,
                "views.count": options.views,
                "reprogram.image_size": 2 * options.image_size,
                "reprogram.steps": options.reprogram_steps,
                "distill.image_steps": options.image_steps,
            }
            job = way.walk(archive, options.teacher, options.student, knobs)
            if options.strip:
                draw(way.steps, options.strip)
            everything(browser, client, job, archive, options.out)
            sign_in(browser, folder / "keyed", options.out)
    return 0


def everything(browser: Browser, client: Client, job: str, archive: Path, out: Path) -> None:
    spec = client.get(f"/v1/{job}")["spec"]
    dataset = f"/datasets/{spec['dataset_id']}"
    asked = client.http.post(
        "/v1/datasets", files={"file": ("sites.zip", ambiguous(archive, archive.with_name("sites.zip")).read_bytes())}
    ).json()["id"]
    hook = client.http.post("/v1/webhooks", json={"url": "https://127.0.0.1:9/hooks", "event_types": ["job.*"]}).json()
    longer = spec | {"seed": 1, "distill": spec["distill"] | {"image_steps": 10 * spec["distill"]["image_steps"]}}
    second = client.submit(longer)["id"]
    waiting = client.submit(spec | {"seed": 2})["id"]
    while not client.http.head(f"/v1/jobs/{second}/artifacts/student.preview.safetensors").is_success:
        time.sleep(1)
    pages = {
        "home": "/",
        "jobs": "/jobs",
        "new-job": f"/jobs/new?dataset_id={spec['dataset_id']}",
        "job-running": f"/jobs/{second}",
        "job-waiting": f"/jobs/{waiting}",
        "datasets": "/datasets",
        "dataset": dataset,
        "images": f"{dataset}/images",
        "question": f"/datasets/{asked}",
        "queue": "/queue",
        "webhooks": "/webhooks",
        "keys": "/keys",
        "audit": "/audit",
        "tenants": "/tenants",
        "lost": "/nowhere",
    }
    if "id" in hook:
        pages["webhook"] = f"/webhooks/{hook['id']}"
    capture(browser, client.url, pages | dict(ended_pages(client, job)), out)
    client.http.post(f"/v1/jobs/{second}/cancel", json={"keep_preview": True})
    while client.get(f"/v1/jobs/{waiting}")["state"] not in {"succeeded", "failed"}:
        time.sleep(2)
    pages = {"compare": f"/jobs/compare?ids={job.removeprefix('jobs/')},{waiting}", "job-cancelled": f"/jobs/{second}"}
    capture(browser, client.url, pages, out)


if __name__ == "__main__":
    raise SystemExit(main())
