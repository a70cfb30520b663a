"""How good a student's previews are beside the finished student, and what they cost:
`python -m benchmarks.service.preview --data clothing.zip --weights FOLDER`.

One job through the embedded service and its public API. At 25, 50 and 75 % of the student's steps its preview is asked
for as a user would; every file is then judged on the test images. `preview` among the manifest's seconds is the time
for which the training stood still.
"""

import argparse
import json
import os
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime

from app.domain.manifest import Preprocessing
from app.domain.previews import PREVIEW_ONNX, PREVIEW_WEIGHTS
from app.imaging import clean_square, open_rgb
from benchmarks.common.service import TERMINAL, Client, running_client

MOMENTS = (0.25, 0.5, 0.75)
_POLL_SECONDS = 0.5


@dataclass
class Seen:
    """A preview as it was downloaded."""

    moment: float
    step: int
    steps: int
    val_accuracy: float
    seconds: float
    """From the first request to the file."""
    content: bytes
    predicted: dict[str, Any]
    """What `predict?preview=true` said of one test image."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="an archive with test images")
    parser.add_argument("--weights", type=Path, required=True, help="folder of teachers")
    parser.add_argument("--teacher", default="mobilenetv2_100.in1k")
    parser.add_argument("--student", default="mobilenetv3_small_050")
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--image-steps", type=int, default=60_000)
    options = parser.parse_args()
    os.environ |= {"TDMR_MODELS_DIR": str(options.weights.resolve()), "TDMR_HUB": "false"}
    spec = {
        "teacher": options.teacher,
        "student": options.student,
        "image_size": options.image_size,
        "reprogram": {"image_size": options.image_size, "steps": 200},
        "views": {"count": 2, "mode": "cached"},
        "distill": {"image_steps": options.image_steps},
        "export": {"formats": ["onnx"], "measure": False},
    }
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "service.log")
        with running_client(Path(folder, "home"), log) as client:
            client.wait_for_worker()
            dataset = client.upload(options.data)
            job = client.submit(spec | {"dataset_id": dataset["id"]})
            seen = watch(client, job["id"], test_images(options.data)[0][1])
            files = Path(folder, "files")
            client.download(job["id"], files)
            manifest = json.loads((files / "manifest.json").read_text())
            final = accuracy((files / "student.onnx").read_bytes(), options.data)
    print("| at | step | validation, as marked | test | seconds to the file |\n|---|---|---|---|---|")
    for one in seen:
        judged = accuracy(one.content, options.data)
        said = f"{one.step} of {one.steps}"
        print(f"| {one.moment:.0%} | {said} | {one.val_accuracy:.1%} | {judged:.1%} | {one.seconds:.1f} |")
    print(f"| end | | | {final:.1%} | |")
    whole, spent = (manifest["seconds"].get(name, 0.0) for name in ("distill", "preview"))
    print(f"\ndistill {whole:.0f} s, of which {spent:.1f} s for previews: {spent / whole:.1%}")
    for one in seen:
        print("predict?preview=true:", one.predicted["preview"], one.predicted["predictions"][0])


def watch(client: Client, job_id: str, picture: bytes) -> list[Seen]:
    """Ask at each moment until the job has ended."""
    seen: list[Seen] = []
    url, moments = f"/v1/jobs/{job_id}/artifacts", list(MOMENTS)
    while (job := client.get(f"/v1/jobs/{job_id}"))["state"] not in TERMINAL:
        time.sleep(_POLL_SECONDS)
        if not moments or _fraction(client.http.head(f"{url}/{PREVIEW_WEIGHTS}")) < moments[0]:
            continue
        began = time.monotonic()
        answer = client.http.get(f"{url}/{PREVIEW_ONNX}")
        while answer.status_code == httpx.codes.CONFLICT or 0 < _fraction(answer) < moments[0]:
            time.sleep(_POLL_SECONDS)
            answer = client.http.get(f"{url}/{PREVIEW_ONNX}")
        if answer.is_error:  # it has ended meanwhile
            continue
        waited = time.monotonic() - began
        files = {"file": ("a.jpg", picture)}
        predicted = client.http.post(f"/v1/jobs/{job_id}/predict?preview=true", files=files).raise_for_status()
        step, steps = (int(answer.headers[name]) for name in ("Preview-Step", "Preview-Steps"))
        marked = float(answer.headers.get("Preview-Accuracy", "nan"))
        seen.append(Seen(moments.pop(0), step, steps, marked, waited, answer.content, predicted.json()))
    if job["state"] != "succeeded":
        raise SystemExit(f"The job is {job['state']}: {job['error']}")
    return seen


def _fraction(answer: httpx.Response) -> float:
    if answer.is_error:
        return 0.0
    return int(answer.headers["Preview-Step"]) / int(answer.headers["Preview-Steps"])


def test_images(archive: Path) -> list[tuple[str, bytes]]:
    """Class and bytes of each test image."""
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if "test/" in name and not name.endswith("/")]
        return [(name.split("/")[-2], opened.read(name)) for name in sorted(names)]


def accuracy(network: bytes, archive: Path) -> float:
    """On the test images, with what the file itself says of them."""
    session = onnxruntime.InferenceSession(network)
    notes = session.get_modelmeta().custom_metadata_map
    classes, how = json.loads(notes["classes"]), Preprocessing.model_validate_json(notes["preprocessing"])
    mean, std = (np.asarray(values, np.float32) for values in (how.mean, how.std))
    right = total = 0
    for label, content in test_images(archive):
        square = clean_square(open_rgb(content), how).astype(np.float32) * np.float32(how.scale)
        image = np.ascontiguousarray(((square - mean) / std).transpose(2, 0, 1)[None])
        logits = session.run(None, {"images": image})[0]
        right += classes[int(logits.argmax())] == label
        total += 1
    return right / total


if __name__ == "__main__":
    main()
