"""Whether a store of an earlier version opens in this one: `python -m benchmarks.service.upgrade --from REF`.

The version at REF is checked out and installed beside this one. On an embedded store and on one with Postgres and
Redis it imports the digits, runs a job to its end, pauses a second one in the middle of stage 2, is stopped, and leaves
a third one in the queue. Then this version takes over: whatever the old one told of data set and jobs must be told the
same by the new one, every file and the zip by SHA-256; the paused job goes on from its checkpoint and succeeds, and the
queued one runs. With `--rolling`, workers of both versions then take jobs from the new version's API.
"""

import argparse
import json
import os
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.demo.digits import write_digits_zip
from app.demo.spec import demo_spec
from benchmarks import RESULTS
from benchmarks.common.service import TERMINAL, Client
from benchmarks.service.api_store import empty_schema
from benchmarks.service.supervised import Supervised, free_port
from benchmarks.service.upgrade import facts
from benchmarks.service.upgrade.site import API, ROLES, Site, Version, earlier_version, this_version

SERVER = "postgresql+psycopg://postgres@127.0.0.1:5432/test"
SHORT, LONG = 2_400, 60_000
"""Image steps."""
PAUSED_AT = 0.4
"""Of stage 2."""
WAIT_SECONDS = 1800.0
KINDS = ("embedded", "production")


def main() -> int:
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    old, new = earlier_version(options.ref, options.old or options.out / "old"), this_version()
    archive = options.out / "digits.zip"
    write_digits_zip(archive)
    outcome: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "from": options.ref}
    for kind in options.kinds:
        with _site(options.out / f"{kind}-{time.time():.0f}", kind, options.server) as site:
            known = _leave(site, old, archive)
            site.keep_copy(options.out / "pristine" / site.folder.name)
            outcome[kind] = _take_over(site, new, known, archive)
            if options.rolling and kind == "production":
                outcome["rolling"] = _side_by_side(site, old, new, known["ids"]["dataset"])
    with options.results.open("a") as results:
        results.write(json.dumps(outcome) + "\n")
    print(json.dumps(outcome, indent=1))
    return 0 if all(not outcome[kind]["differences"] for kind in options.kinds) else 1


def _leave(site: Site, old: Version, archive: Path) -> dict[str, Any]:
    """What the old version leaves behind, and what it told of it."""
    image = _an_image(archive)
    with site.running(old) as client:
        client.wait_for_worker()
        dataset_id = client.upload(archive)["id"]
        done = client.submit(_spec(dataset_id, SHORT))["id"]
        _wait(client, done, _has_ended)
        paused = client.submit(_spec(dataset_id, LONG))["id"]
        _wait(client, paused, lambda job: _share_of_stage_two(client, job) > PAUSED_AT)
        _post(client, f"/v1/jobs/{paused}/pause")
        _wait(client, paused, lambda job: job["state"] == "paused")
    with site.running(old, [API]) as client:  # no worker, so it stays in the queue
        queued = client.submit(_spec(dataset_id, SHORT, seed=1))["id"]
        ids = {"dataset": dataset_id, "done": done, "paused": paused, "queued": queued}
        return {"ids": ids, "facts": _facts(client, ids, image)}


def _take_over(site: Site, new: Version, known: dict[str, Any], archive: Path) -> dict[str, Any]:
    """The same store in the new version."""
    ids = known["ids"]
    with site.running(new, [API]) as client:
        now = _facts(client, ids, _an_image(archive))
    changed = list(facts.differences(known["facts"], now))
    with site.running(new) as client:
        _post(client, f"/v1/jobs/{ids['paused']}/resume")
        ended = {name: _wait(client, ids[name], _has_ended)["state"] for name in ("paused", "queued")}
        told = {name: facts.of_job(client, ids[name]) for name in ended}  # with every file
        resumed = [event["message"] for event in told["paused"]["events"] if _goes_on(event)]
        warned = [e["message"] for name in told for e in told[name]["events"] if e["kind"] in ("warning", "error")]
        again = list(facts.differences(known["facts"]["done"], facts.of_job(client, ids["done"], _an_image(archive))))
    return {"differences": changed + again, "ended": ended, "resumed": resumed, "warnings": warned}


def _side_by_side(site: Site, old: Version, new: Version, dataset_id: str) -> dict[str, Any]:
    """Workers of both versions take jobs of the new API from one queue."""
    roles = dict.fromkeys(ROLES, new) | {f"{role}-old": old for role in ROLES if role != API}
    with site.processes(roles) as client:
        client.wait_for_worker()
        time.sleep(30)  # both have registered
        jobs = [client.submit(_spec(dataset_id, SHORT, seed=seed))["id"] for seed in range(10, 16)]
        ended = {job_id: _wait(client, job_id, _has_ended) for job_id in jobs}
        told = {job_id: facts.of_job(client, job_id) for job_id in jobs}
    return {
        "states": Counter(job["state"] for job in ended.values()),
        "errors": [job["error"] for job in ended.values() if job["error"]],
        "versions": Counter(_producer(site, job_id) for job_id in jobs),
        "files": {job_id: len(told[job_id].get("files", [])) for job_id in jobs},
    }


def _producer(site: Site, job_id: str) -> str:
    """Whose log has it."""
    logs = [log for log in site.folder.glob("training*.log") if f'"{job_id}"' in log.read_text(errors="replace")]
    return ", ".join(sorted(log.stem for log in logs))


def _facts(client: Client, ids: dict[str, str], image: bytes) -> dict[str, Any]:
    told = {
        name: facts.of_job(client, ids[name], image if name == "done" else None) for name in ids if name != "dataset"
    }
    return told | {"dataset": facts.of_dataset(client, ids["dataset"])}


def _spec(dataset_id: str, image_steps: int, seed: int = 0) -> dict[str, Any]:
    spec = demo_spec("tdmr", seed=seed)
    spec["distill"]["image_steps"] = image_steps
    return spec | {"dataset_id": dataset_id}


def _share_of_stage_two(client: Client, job: dict[str, Any]) -> float:
    assert job["state"] not in TERMINAL, f"the job has ended: {job['error']}"
    if job["stage"] != "distill":
        return 0.0
    points = client.get(f"/v1/jobs/{job['id']}/metrics", stage="distill")["points"]
    steps = LONG / job["spec"]["distill"]["batch_size"]
    return points[-1]["step"] / steps if points else 0.0


def _wait(client: Client, job_id: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition(job := client.get(f"/v1/jobs/{job_id}")):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{job_id} is {job['state']}")
        time.sleep(1)
    return job


def _has_ended(job: dict[str, Any]) -> bool:
    return job["state"] in TERMINAL


def _goes_on(event: dict[str, Any]) -> bool:
    """The training says so; the event of the same name that is a change of state tells of the request."""
    return event["code"] == "resumed" and event["kind"] == "info"


def _post(client: Client, path: str) -> None:
    client.http.post(path).raise_for_status()


def _an_image(archive: Path) -> bytes:
    with zipfile.ZipFile(archive) as opened:
        return opened.read(next(name for name in opened.namelist() if name.startswith("test/7/")))


@contextmanager
def _site(folder: Path, kind: str, server: str) -> Iterator[Site]:
    if kind == "embedded":
        yield Site(folder, {})
        return
    with ExitStack() as stack:
        port = free_port()
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(work)]
        redis = Supervised("redis", command, os.environ, work / "redis.log")
        urls = {
            "TDMR_DATABASE_URL": stack.enter_context(empty_schema(server)),
            "TDMR_BROKER_URL": f"redis://127.0.0.1:{port}/0",
            "TDMR_STORAGE_URL": (folder / "blobs").absolute().as_uri(),
        }
        redis.start()
        stack.callback(redis.stop, 10)
        yield Site(folder, urls)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--from", dest="ref", required=True, help="the version that made the store: a commit or a tag")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--rolling", action="store_true", help="try workers of both versions side by side, too")
    parser.add_argument("--old", type=Path, help="a tree of that version; default: a new one in the folder of --out")
    parser.add_argument("--server", default=SERVER, help="a Postgres database (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("build/upgrade").absolute(), help="(%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS / "upgrade.jsonl", help="(%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
