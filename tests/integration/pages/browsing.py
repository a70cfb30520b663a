"""What a browser asks for, and a job that it may look at."""

import hashlib
import re

from fastapi.testclient import TestClient
from httpx import Response

from app.domain.manifest import ArtifactFile
from app.domain.progress import EventLine, MetricLine
from app.domain.states import Stage
from app.services.leases import claim_job, finish_job, record
from tests.integration.conftest import Service
from tests.unit.app.reports.planted import evaluation, manifest

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
PAGES = ("/", "/jobs", "/jobs/compare", "/datasets", "/queue", "/webhooks", "/jobs/new", "/keys", "/audit", "/tenants")


def get(http: TestClient, path: str) -> Response:
    return http.get(path, headers=BROWSER, follow_redirects=False)


def post(http: TestClient, path: str, **fields: str) -> Response:
    return http.post(path, headers=BROWSER, data=fields, follow_redirects=False)


def sign_in(http: TestClient, key: str) -> Response:
    return post(http, "/forms/sign-in", key=key)


def secret_of(headers: dict[str, str]) -> str:
    return headers["Authorization"].removeprefix("Bearer ")


def csrf_of(http: TestClient) -> str:
    found = re.search('name="csrf" content="([0-9a-f]+)"', get(http, "/").text + get(http, "/keys").text)
    assert found is not None
    return found[1]


def ended(service: Service) -> str:
    """A job that has succeeded, with curves, events, figures and files."""
    job_id = service.submit()
    with service.store.write() as session:
        claim = claim_job(session, job_id, "wk_1")
    assert claim is not None
    lines = [MetricLine(stage=Stage.DISTILL, step=step, values={"loss": 1 / step}) for step in (1, 2)]
    event = EventLine(level="warning", code="x", message="<script>alert(1)</script>")
    content = manifest().model_dump_json().encode()
    service.put_artifact(job_id, claim.epoch, "manifest.json", content)
    file = ArtifactFile(
        name="manifest.json",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        media_type="application/json",
    )
    with service.store.write() as session:
        record(session, claim, stage=Stage.DISTILL, points=lines, events=[event])
        assert finish_job(session, claim, [file], evaluation().model_dump(mode="json"), {})
    return job_id
