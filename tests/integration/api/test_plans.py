"""No statement reads a whole table that grows: the plans on Postgres of all that routes and workers send."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Connection, Engine, event, make_url

from app.db.engine import Store
from app.db.models import Job, utcnow
from app.db.queries import jobs as queries
from app.db.queries import queue
from app.db.queries import trackings as tracking_queries
from app.domain.addresses import Destinations
from app.domain.dataset import DatasetReport, OfferedReading, Understanding
from app.domain.previews import PREVIEW_WEIGHTS, PreviewMark
from app.domain.progress import EventLine, MetricLine
from app.domain.states import Stage
from app.domain.tracking import TrackingOutcome
from app.main import create_app
from app.outbound import Outbound
from app.queue import make_celery
from app.services import dataset_leases, leases, orphans, reaping, tracking_claims, trackings
from app.settings import Settings
from app.storage.blobs import Blobs
from app.storage.published import StoredFile
from benchmarks.service.api_store import STUDENT, TEACHER, Filled, fill
from tests.databases import migrate
from tests.support import client_of
from worker.reconciler import Reconciler
from worker.webhooks import WebhookSender

JOBS = 2000
GROWING = {
    *("jobs", "job_events", "job_metrics", "artifacts", "datasets", "idempotency_keys"),
    *("uploads", "audit", "api_keys", "dataset_classes", "webhooks", "webhook_deliveries", "trackings"),
}
COUNTED = {"datasets"}
"""`/metrics` counts them by state, over an index and nothing else: there are few, and they can be deleted."""
TUS = {"Tus-Resumable": "1.0.0"}


@dataclass
class Recorded:
    """Statements, each with its first parameters, and the operations that sent them."""

    statements: dict[str, Any] = field(default_factory=dict)
    operations: set[tuple[str, str]] = field(default_factory=set)

    def note(self, _: Connection, __: object, statement: str, parameters: Any, ___: object, many: bool) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
            self.statements.setdefault(statement, parameters[0] if many else parameters)


@dataclass
class Tour:
    """A service that is asked for everything it knows."""

    http: TestClient
    store: Store
    blobs: Blobs
    settings: Settings
    filled: Filled
    folder: Path
    recorded: Recorded

    def ask(
        self,
        method: str,
        route: str,
        query: str = "",
        *,
        ids: dict[str, str] | None = None,
        refused: int = 0,
        **how: Any,
    ) -> Any:
        """Its JSON, if it has some. `ids` fill in the route."""
        answer = self.http.request(method, route.format(**(ids or {})) + query, **how)
        assert answer.status_code == refused if refused else answer.status_code < 400, (method, route, answer.text)
        self.recorded.operations.add((method.lower(), route))
        is_json = answer.headers.get("Content-Type", "") == "application/json" and answer.content
        return answer.json() if is_json else answer


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory, module_postgres_url: str) -> Iterator[Tour]:
    """With everything recorded that was sent on it."""
    folder = tmp_path_factory.mktemp("tour")
    migrate(module_postgres_url)
    settings = Settings(home=folder / "home", database_url=module_postgres_url)
    store, recorded = Store(module_postgres_url), Recorded()
    filled = fill(store, JOBS)
    event.listen(Engine, "before_cursor_execute", recorded.note)
    with client_of(settings) as http:
        tour = Tour(http, store, Blobs(settings.storage), settings, filled, folder, recorded)
        ask_for_everything(tour)
        do_what_workers_do(tour)
    event.remove(Engine, "before_cursor_execute", recorded.note)
    yield tour
    store.close()


def ask_for_everything(tour: Tour) -> None:
    ask, filled = tour.ask, tour.filled
    for path in ("/healthz", "/readyz", "/metrics", "/v1/teachers", "/v1/students"):
        ask("GET", path)
    ask_about_datasets(tour)
    ask_about_webhooks(tour)
    spec = {"dataset_id": filled.dataset_id, "teacher": TEACHER, "student": STUDENT}
    ask("POST", "/v1/jobs", json=spec | {"webhook_url": "https://hooks.example/"})
    ask("POST", "/v1/jobs/estimate", json=spec)
    for headers in ({}, {"Idempotency-Key": "k"}, {"Idempotency-Key": "k"}):
        job = {"job_id": ask("POST", "/v1/jobs", json=spec, headers=headers)["id"]}
    one = "/v1/jobs/{job_id}"
    for action in ("pause", "resume", "cancel", "retry", "rerun"):
        ask("POST", f"{one}/{action}", ids=job)
    ask("DELETE", one, ids=job)
    ask("POST", f"{one}/cancel", ids={"job_id": filled.running[0]})
    for query in ("", f"?after={filled.ended[50]}&state=succeeded&state=failed", "?metadata[owner]=user-7"):
        ask("GET", "/v1/jobs", query)
    etag = {"If-None-Match": '"another"'}
    for job_id in (filled.ended[0], filled.queued[0], filled.running[0]):
        ask("GET", one, ids={"job_id": job_id}, headers=etag)
    ended = {"job_id": filled.ended[0], "name": "student.onnx"}
    for what in ("events", "metrics", "evaluation", "artifacts"):
        ask("GET", f"{one}/{what}", ids=ended)
    ask("GET", "/v1/jobs/compare", f"?ids={filled.ended[0]},{filled.ended[1]}")
    for query in ("", "?preview=true"):
        picture = {"file": ("a.png", b"png")}
        ask("POST", f"{one}/predict", query, ids={"job_id": filled.running[1]}, files=picture, refused=409)
    ask("GET", f"{one}/events", ids=ended, headers={"Accept": "text/event-stream"})
    ask("POST", f"{one}/events/ticket", ids=ended)
    ask("GET", one, "?wait=0.1", ids={"job_id": filled.queued[0]})
    ask("GET", f"{one}/metrics", "?stage=distill&from_step=2", ids=ended)
    for method in ("HEAD", "GET"):
        for what in ("artifacts/{name}", "artifacts.zip"):
            ask(method, f"{one}/{what}", ids=ended, refused=410)  # the files were never stored
    ask("POST", f"{one}/predict", ids=ended, files={"file": ("a.png", b"png")}, refused=410)
    key = {"key_id": ask("POST", "/v1/keys", json={"name": "a", "scopes": ["read"]})["id"]}
    ask("GET", "/v1/keys")
    for method in ("GET", "DELETE"):
        ask(method, "/v1/keys/{key_id}", ids=key)
    for query in ("", f"?object_id={key['key_id']}"):
        ask("GET", "/v1/audit", query)


def ask_about_webhooks(tour: Tour) -> None:
    ask, one = tour.ask, "/v1/webhooks/{webhook_id}"
    made = {"webhook_id": ask("POST", "/v1/webhooks", json={"url": "https://hooks.example/a"})["id"]}
    ask("PATCH", one, ids=made, json={"url": "https://hooks.example/b", "description": "d"})
    ask("POST", f"{one}/rotate-secret", ids=made)
    ask("POST", f"{one}/rotate-secret", ids={"webhook_id": "default"})
    for query in ("", f"?after={made['webhook_id']}"):
        ask("GET", "/v1/webhooks", query)
    ask("GET", one, ids=made)
    sent = made | {"delivery_id": ask("POST", f"{one}/test", ids=made)["id"]}
    for query in ("", f"?after={sent['delivery_id']}&state=failed"):
        ask("GET", f"{one}/deliveries", query, ids=made)
    ask("GET", f"{one}/deliveries/{{delivery_id}}", ids=sent)
    ask("POST", f"{one}/deliveries/{{delivery_id}}/redeliver", ids=sent)
    ask("DELETE", one, ids={"webhook_id": ask("POST", "/v1/webhooks", json={"url": "https://hooks.example/c"})["id"]})


def ask_about_datasets(tour: Tour) -> None:
    ask, one = tour.ask, "/v1/datasets/{dataset_id}"
    ask("OPTIONS", "/v1/uploads", headers=TUS)
    created = ask("POST", "/v1/uploads", headers=TUS | {"Upload-Length": "4"})
    upload = {"upload_id": created.headers["Location"].rpartition("/")[2]}
    piece = TUS | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    ask("PATCH", "/v1/uploads/{upload_id}", ids=upload, headers=piece, content=b"PK\x03\x04")
    for method in ("HEAD", "DELETE"):
        ask(method, "/v1/uploads/{upload_id}", ids=upload, headers=TUS)
    sent = {"dataset_id": ask("POST", "/v1/datasets", files={"file": ("a.zip", b"PK\x03\x04")})["id"]}
    for query in ("", f"?after={tour.filled.dataset_id}"):
        ask("GET", "/v1/datasets", query)
    ask("GET", one, ids=sent)
    ready = {"dataset_id": tour.filled.dataset_id}
    for what, query in (
        ("", ""),
        ("/report", ""),
        ("/events", ""),
        ("/report", "?format=html"),
        ("/classes", ""),
        ("/classes", "?after=5"),
    ):
        ask("GET", one + what, query, ids=ready)
    ask("GET", one, "?wait=0.1", ids=sent)
    with tour.store.write() as session:
        held = dataset_leases.claim_dataset(session, sent["dataset_id"], "wk_1")
        assert held is not None
        reading = OfferedReading(id="folders:1", sentence="2 classes.", class_count=2, classes=("a", "b"))
        question = Understanding(sentence="?", reading="folders:1", readings=(reading,))
        assert dataset_leases.ask_about_dataset(session, held, question)
    ask("POST", f"{one}/layout", ids=sent, json={"layout": "folders:1"})
    ask("DELETE", one, ids=sent)


def do_what_workers_do(tour: Tour) -> None:
    """Claim, beat, record and each way to end, of jobs and of imports; and what the reconciler does beside."""
    store = tour.store

    def claim() -> leases.JobClaim:
        with store.write() as session:
            job_id = queue.next_queued_job(session)
            assert job_id is not None
            claimed = leases.claim_job(session, job_id, "wk_1")
            assert claimed is not None
            session.get_one(Job, job_id).track = {"mlflow": {"experiment": "a"}}
        return claimed

    point, line = MetricLine(stage=Stage.DISTILL, step=1, values={"loss": 1.0}), EventLine(code="a", message="b")
    ways: tuple[Any, ...] = (
        lambda session, held: leases.finish_job(session, held, [], {}, {}, {"decode": 1.0}),
        lambda session, held: leases.fail_job(session, held, {"code": "a", "detail": "b"}),
        lambda session, held: leases.release_job(session, held, "worker_stopping"),
        lambda session, held: leases.record_lost_attempt(session, held, "it died"),
        lambda session, held: reaping.reap_job(session, queries.Held(held.id, held.epoch, 1)),
    )
    for end in ways:
        held = claim()
        with store.write() as session:
            assert leases.record(session, held, stage=Stage.DISTILL, progress=0.5, points=[point], events=[line])
            assert leases.keep_checkpoint(session, held, "key")
            assert leases.JOBS.beat(session, held).alive
            mark, stored = PreviewMark(student="a", step=1, steps=2), StoredFile("key", 1, "0" * 64)
            assert leases.keep_preview(session, held, mark, PREVIEW_WEIGHTS, stored) is None
        with store.write() as session:
            assert end(session, held)
    report = DatasetReport(classes=("a",), counts={}, images=0, digest="d" * 64)
    imports: tuple[Any, ...] = (
        lambda session, held: dataset_leases.accept_dataset(session, held, "key", report),
        lambda session, held: dataset_leases.reject_dataset(session, held, {"code": "a"}),
        dataset_leases.release_dataset,
        lambda session, held: reaping.reap_dataset(session, queries.Held(held.id, held.epoch, 1)),
    )
    for number, end in enumerate(imports):
        body = {"file": ("a.zip", b"PK\x03\x04" + bytes([number]))}
        dataset_id = tour.ask("POST", "/v1/datasets", files=body)["id"]
        with store.write() as session:
            imported = dataset_leases.claim_dataset(session, dataset_id, "wk_1")
            assert imported is not None
            assert dataset_leases.DATASETS.beat(session, imported).alive
        with store.write() as session:
            assert end(session, imported)
    nowhere = Outbound(Destinations(), lambda host, port: [])
    sender = WebhookSender(tour.settings, store, threading.Event(), outbound=nowhere)
    assert sender.send_due() > 0
    assert sender.wait(120)
    sender.prune()
    log_a_job(tour)
    kept = {name: 0.0001 for name in Settings.model_fields if name.startswith("keep_") and name.endswith("_days")}
    settings = tour.settings.model_copy(update=kept)
    Reconciler(settings, store, tour.blobs, make_celery(settings), threading.Event()).reconcile()
    list(orphans.find(store, tour.blobs, timedelta(0)))


def log_a_job(tour: Tour) -> None:
    """What is done about it but writing a run."""
    now = utcnow() + timedelta(minutes=1)
    with tour.store.write() as session:
        assert tracking_queries.is_any_due(session, now)
        attempt = tracking_claims.claim(session, now)
        assert attempt is not None
        assert tracking_claims.read_job(session, attempt, None) is not None
        assert tracking_claims.put_off(session, attempt, now)
        tracking_claims.record(session, attempt, TrackingOutcome(url=None, error="a"), now, 0.0)
        tracking_claims.hand_back(session, attempt, now)
    with tour.store.read() as session:
        assert trackings.of_jobs(session, [session.get_one(Job, attempt.job_id)])


def plans(tour: Tour) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each statement with its plan, where the planner reads a table as a whole only if nothing else is possible."""
    url = make_url(tour.settings.database_url)
    options = str(url.query["options"])
    with psycopg.connect(
        host=url.host, port=url.port, user=url.username, password=url.password, dbname=url.database, options=options
    ) as connection:
        connection.execute("ANALYZE")
        connection.execute("SET enable_seqscan = off")
        for statement, parameters in tour.recorded.statements.items():
            with psycopg.ClientCursor(connection) as cursor:
                cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)  # type: ignore[call-overload]
                (explained,) = cursor.fetchone() or ()
            yield statement, explained[0]["Plan"]


def whole_reads(plan: dict[str, Any], *, limited: bool = False) -> Iterator[dict[str, Any]]:
    """The parts of a plan that read a growing table, or an index of it, from end to end."""
    kind, is_growing = plan["Node Type"], plan.get("Relation Name") in GROWING
    # a partial index holds only what is wanted; and a page may be filled from the newest row on, whosever they are,
    # where the planner knows that the tenant has a good share of them
    is_short = limited or plan.get("Index Name") == "ix_jobs_checkpoint_key" or plan.get("Relation Name") in COUNTED
    is_whole_index = kind.startswith("Index") and "Index Cond" not in plan and not is_short
    if is_growing and (kind == "Seq Scan" or is_whole_index):
        yield {name: value for name, value in plan.items() if name != "Plans"}
    for inner in plan.get("Plans", ()):
        yield from whole_reads(inner, limited=limited or kind == "Limit")


class TestPlans:
    def test_every_operation_was_asked_for(self, tour: Tour) -> None:
        """A new route must be added to the tour above."""
        paths = create_app(tour.settings).openapi()["paths"]
        assert tour.recorded.operations == {(method, path) for path, methods in paths.items() for method in methods}

    def test_no_statement_reads_a_whole_table_that_grows(self, tour: Tour) -> None:
        assert len(tour.recorded.statements) > 50
        bad = [f"{statement}\n→ {json.dumps(part)}" for statement, plan in plans(tour) for part in whole_reads(plan)]
        assert not bad, "\n\n".join(bad)

    @pytest.mark.parametrize(
        "statement", ["SELECT id FROM jobs WHERE progress > 0.5 LIMIT 1", "SELECT count(*) FROM jobs"]
    )
    def test_such_a_statement_would_be_noticed(self, tour: Tour, statement: str) -> None:
        tour.recorded.statements = {statement: {}}
        assert [part["Relation Name"] for _, plan in plans(tour) for part in whole_reads(plan)] == ["jobs"]
