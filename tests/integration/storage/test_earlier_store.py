"""A store that an earlier version has left opens in this one: one job succeeded, one paused in stage 2, one queued.

`stores/` holds the rows of such a store as that version wrote them (`benchmarks.service.upgrade` makes one), long lists
shortened, and what lay in its storage. They are never written anew: what they hold is what users have.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import DateTime, MetaData, Table, create_engine

from app.db.engine import Store
from app.db.migrate import upgrade
from app.domain.dataset import DatasetIndex
from app.domain.manifest import Manifest
from app.domain.spec import JobSpec
from app.services import leases
from app.settings import Settings
from tests.support import client_of

STORES = sorted((Path(__file__).parent / "stores").glob("*.json"))
Row = dict[str, Any]


@dataclass(frozen=True)
class Earlier:
    """The upgraded store, the service on it, and the rows as they were written."""

    store: Store
    http: TestClient
    rows: dict[str, list[Row]]
    documents: dict[str, Any]

    def job(self, state: str) -> Row:
        return next(job for job in self.rows["jobs"] if job["state"] == state)

    def of_job(self, table: str, state: str) -> list[Row]:
        job_id = self.job(state)["id"]
        return [row for row in self.rows[table] if row["job_id"] == job_id]

    def get(self, path: str) -> Any:
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(params=STORES, ids=lambda path: path.stem)
def earlier(request: pytest.FixtureRequest, store_url: str, settings: Settings) -> Iterator[Earlier]:
    content = json.loads(request.param.read_text())
    upgrade(store_url, content["revision"])
    insert(store_url, content["tables"])
    upgrade(store_url)
    store = Store(store_url)
    with client_of(settings.model_copy(update={"database_url": store_url})) as http:
        yield Earlier(store, http, content["tables"], content["documents"])
    store.close()


class TestStore:
    @pytest.mark.parametrize("state", ["succeeded", "paused", "queued"])
    def test_its_jobs_are_told_as_they_were(self, earlier: Earlier, state: str) -> None:
        row = earlier.job(state)
        told = earlier.get(f"/v1/jobs/{row['id']}")
        for name in ("state", "stage", "progress", "dataset_id", "warnings", "metrics", "attempts", "error"):
            assert told[name] == row[name]
        assert told["spec"] == row["spec"]
        events = earlier.get(f"/v1/jobs/{row['id']}/events?limit=100")["data"]
        assert [(event["seq"], event["code"], event["message"]) for event in events] == [
            (event["seq"], event["code"], event["message"]) for event in earlier.of_job("job_events", state)
        ]
        points = earlier.get(f"/v1/jobs/{row['id']}/metrics")["points"]
        written = [point for piece in earlier.of_job("job_metrics", state) for point in piece["points"]]
        assert [(point["step"], point["values"]) for point in points] == [(p["step"], p["values"]) for p in written]

    def test_its_results_are_told_as_they_were(self, earlier: Earlier) -> None:
        row = earlier.job("succeeded")
        assert earlier.get(f"/v1/jobs/{row['id']}/evaluation") == row["evaluation"]
        files = earlier.get(f"/v1/jobs/{row['id']}/artifacts")["data"]
        assert {(file["name"], file["sha256"]) for file in files} == {
            (file["name"], file["sha256"]) for file in earlier.of_job("artifacts", "succeeded")
        }

    def test_its_data_set_is_told_as_it_was(self, earlier: Earlier) -> None:
        (row,) = earlier.rows["datasets"]
        told = earlier.get(f"/v1/datasets/{row['id']}")
        assert (told["state"], told["digest"], told["classes"]) == ("ready", row["digest"], row["report"]["classes"])
        report = earlier.get(f"/v1/datasets/{row['id']}/report")
        assert {name: report[name] for name in row["report"]} == row["report"]
        assert earlier.http.get(f"/v1/datasets/{row['id']}/report?format=html").status_code == 200

    def test_its_workers_still_offer_what_they_offered(self, earlier: Earlier) -> None:
        (offer,) = earlier.rows["catalogs"]
        for kind in ("teachers", "students"):
            told = earlier.get(f"/v1/{kind}?limit=100")["data"]
            assert {card["name"] for card in told} == {card["name"] for card in offer["payload"][kind]}

    def test_its_paused_job_is_resumed_and_claimed_with_its_checkpoint(self, earlier: Earlier) -> None:
        row = earlier.job("paused")
        assert earlier.http.post(f"/v1/jobs/{row['id']}/resume").status_code == 202
        claim = claimed(earlier.store, row["id"])
        assert (claim.epoch, claim.checkpoint_key) == (row["epoch"] + 1, row["checkpoint_key"])
        assert claim.checkpoint_epoch == row["checkpoint_epoch"]
        read = claim.spec.model_dump(mode="json")
        read["distill"] = {name: read["distill"][name] for name in row["spec"]["distill"]}  # some options came later
        assert read == {"teachers": None} | row["spec"]  # so did this

    def test_its_queued_job_is_claimed_as_it_was_asked_for(self, earlier: Earlier) -> None:
        row = earlier.job("queued")
        assert claimed(earlier.store, row["id"]).spec == JobSpec.read(row["spec"])

    def test_its_files_can_be_read(self, earlier: Earlier) -> None:
        manifest, index = earlier.documents["manifest.json"], earlier.documents["index.json"]
        assert Manifest.model_validate_json(json.dumps(manifest)).model_dump(mode="json").items() >= manifest.items()
        assert DatasetIndex.model_validate_json(json.dumps(index)).digest == index["digest"]


def claimed(store: Store, job_id: str) -> leases.JobClaim:
    with store.write() as session:
        claim = leases.claim_job(session, job_id, "wk_1")
    assert claim is not None
    return claim


def insert(url: str, tables: dict[str, list[Row]]) -> None:
    """Into the tables as they are, which the models of this version need not know."""
    engine = create_engine(url)
    schema = MetaData()
    with engine.begin() as connection:
        for name, rows in tables.items():
            table = Table(name, schema, autoload_with=connection)
            times = [column.name for column in table.columns if isinstance(column.type, DateTime)]
            connection.execute(table.insert(), [row | {name: _time(row[name]) for name in times} for row in rows])
    engine.dispose()


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text is not None else None
