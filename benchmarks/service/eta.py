"""What a job is said to take, against what it takes: `python -m benchmarks.service.eta --data data --weights weights`.

The embedded service runs jobs on sign digits, one after another: three that are followed, and two more of which only
the estimate is of interest. Before each, `POST /v1/jobs/estimate` is asked; while it runs, `eta_seconds` and `progress`
once a second. The first start waits until the idle worker has measured its machine, as one has that was started some
minutes ago. `--busy` runs a loop beside that keeps one core busy.

Each job is a line in the results file once it has ended, and is not run again; delete the line to repeat it. It takes
one to four minutes on two idle cores. The service's folder stays, with its cache and what it knows of the machine;
`--home` names another one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.common.service import TERMINAL, Client, running_client
from benchmarks.common.table import NOTHING, markdown

RESULTS = Path(__file__).parents[1] / "results" / "eta.jsonl"
POINTS = (10, 25, 50, 75, 90)
"""Per cent of a job's time at which it is asked what is left."""
MEASURE_SECONDS = 900.0
"""So long the worker may take to measure its machine."""
_SMALL = {"image_size": 64, "pretrained": False, "views": {"count": 2, "hflip": False}}
_TEACHER = {"teacher": "mobilenetv2_100.in1k", "reprogram": {"image_size": 112}}
_ONNX = {"export": {"formats": ["onnx"]}}
CASES: dict[str, dict[str, Any]] = {
    "CNN from scratch": {
        **_SMALL,
        "method": "scratch",
        "student": "mobilenetv3_small_050",
        "distill": {"image_steps": 40_000},
    },
    "pretrained student": {
        **(_SMALL | _TEACHER),
        "student": "tf_efficientnet_lite0.in1k",
        "pretrained": True,
        "distill": {"image_steps": 8_000},
    },
    "two students with int8": {
        **(_SMALL | _TEACHER),
        "students": ["mobilenetv3_small_050", "mobilenetv3_small_075"],
        "distill": {"image_steps": 12_000},
        "export": {"formats": ["onnx", "onnx_int8"]},
    },
    "KD with AdamW": {
        **(_SMALL | _TEACHER | _ONNX),
        "method": "kd",
        "student": "mobilenetv2_100",
        "distill": {"image_steps": 6_000, "optimiser": "adamw"},
    },
    "ResNet from scratch": {
        **(_SMALL | _ONNX),
        "image_size": 48,
        "method": "scratch",
        "student": "resnet18",
        "distill": {"image_steps": 8_000},
    },
}
FOLLOWED = tuple(CASES)[:3]

Line = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="Folder with sign-digits.zip.")
    parser.add_argument("--weights", type=Path, required=True, help="Folder of local teachers.")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir(), "tdmr-benchmarks", "eta"))
    parser.add_argument("--busy", action="store_true", help="Beside a loop that keeps one core busy.")
    parser.add_argument("--only", nargs="+", choices=tuple(CASES), default=tuple(CASES))
    options = parser.parse_args()
    todo = [name for name in options.only if _find(options.results, name, busy=options.busy) is None]
    if todo:
        options.home.mkdir(parents=True, exist_ok=True)
        os.environ |= {"TDMR_HUB": "false", "TDMR_MODELS_DIR": str(options.weights.resolve())}
        with running_client(options.home / "home", options.home / "service.log") as client:
            client.wait_for_worker()
            dataset = client.upload(options.data / "sign-digits.zip")["id"]
            wait_until_measured(client, CASES[todo[0]] | {"dataset_id": dataset})
            with _busy_core() if options.busy else _nothing():
                for name in todo:
                    line = {"case": name, "busy": options.busy, **run(client, CASES[name] | {"dataset_id": dataset})}
                    with options.results.open("a") as file:
                        file.write(json.dumps(line) + "\n")
                    print(f"{name}: {line['seconds']:.0f} s", file=sys.stderr, flush=True)
    print_tables(options.results)
    return 0


def wait_until_measured(client: Client, spec: Mapping[str, Any]) -> None:
    give_up = time.monotonic() + MEASURE_SECONDS
    while (found := estimate(client, spec))["seconds"] is None:
        if time.monotonic() > give_up:
            raise SystemExit(f"The worker has not measured its machine: {found['unknown']}")
        time.sleep(2)


def estimate(client: Client, spec: Mapping[str, Any]) -> dict[str, Any]:
    answer = client.http.post("/v1/jobs/estimate", json=spec)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def run(client: Client, spec: dict[str, Any]) -> Line:
    """One job, from its estimate to its end."""
    told = estimate(client, spec)
    job = client.submit(spec)
    followed: list[tuple[float, float | None, float]] = []
    while job["state"] not in TERMINAL:
        time.sleep(1.0)
        asked = time.time()
        job = client.get(f"/v1/jobs/{job['id']}")
        if job["state"] == "running":
            followed.append((asked - _moment(job["started_at"]), job["eta_seconds"], job["progress"]))
    if job["state"] != "succeeded":
        raise SystemExit(f"The job has {job['state']}: {job['error']}")
    seconds = _moment(job["finished_at"]) - _moment(job["started_at"])
    return {
        "seconds": round(seconds, 1),
        "estimated": told["seconds"],
        "stages": told["stages"],
        "took": stage_seconds(client, job),
        "cached": told["cached"],
        "measured": told["measured"],
        "memory_bytes": told["memory_bytes"],
        "machines": told["machines"],
        "points": [_at(percent, seconds, followed) for percent in POINTS],
    }


def stage_seconds(client: Client, job: dict[str, Any]) -> dict[str, float]:
    """How long each stage took; the first begins with the job's process."""
    begun = {"prepare": _moment(job["started_at"])}
    for event in client.get(f"/v1/jobs/{job['id']}/events", limit=100)["data"]:
        if event["kind"] == "stage" and event["code"] not in begun:
            begun[event["code"]] = _moment(event["created_at"])
    ends = [*list(begun.values())[1:], _moment(job["finished_at"])]
    return {stage: round(end - start, 1) for (stage, start), end in zip(begun.items(), ends, strict=True)}


def _at(percent: int, seconds: float, followed: Sequence[tuple[float, float | None, float]]) -> Line:
    """What was said last before so much of the job had gone by, against what was left then."""
    before = [told for told in followed if told[0] <= seconds * percent / 100] or list(followed[:1])
    at, eta, progress = before[-1]
    return {"percent": percent, "at": round(at, 1), "left": round(seconds - at, 1), "eta": eta, "progress": progress}


def print_tables(results: Path) -> None:
    lines = _read(results)
    header = ("job", "beside it", "seconds", *(f"at {percent} %" for percent in POINTS))
    rows = [
        (line["case"], _beside(line), f"{line['seconds']:.0f}", *(_ratio(point) for point in line["points"]))
        for line in lines
        if line["case"] in FOLLOWED
    ]
    print("`eta_seconds` by what was really left (and `progress`):\n")
    print(markdown(header, rows), end="\n\n")
    header = ("job", "beside it", "estimate, s", "low – high", "seconds", "estimate by seconds", "inside")
    print("The estimate before the run:\n")
    print(markdown(header, [_estimated(line) for line in lines]))


def _estimated(line: Line) -> tuple[str, ...]:
    told, seconds = line["estimated"], line["seconds"]
    if told is None:
        return (line["case"], _beside(line), NOTHING, NOTHING, f"{seconds:.0f}", NOTHING, NOTHING)
    inside = "yes" if told["low"] <= seconds <= told["high"] else "no"
    between = f"{told['low']:.0f} – {told['high']:.0f}"
    ratio = f"{told['expected'] / seconds:.2f}"
    return (line["case"], _beside(line), f"{told['expected']:.0f}", between, f"{seconds:.0f}", ratio, inside)


def _ratio(point: Line) -> str:
    said = NOTHING if point["eta"] is None else f"{point['eta'] / point['left']:.2f}"
    return f"{said} ({point['progress']:.0%})"


def _beside(line: Line) -> str:
    return "a busy loop" if line["busy"] else "nothing"


def _read(results: Path) -> list[Line]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []


def _find(results: Path, case: str, *, busy: bool) -> Line | None:
    return next((line for line in _read(results) if (line["case"], line["busy"]) == (case, busy)), None)


def _moment(told: str) -> float:
    return datetime.fromisoformat(told).timestamp()


@contextmanager
def _busy_core() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


if __name__ == "__main__":
    raise SystemExit(main())
