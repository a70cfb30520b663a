"""What tests of Postgres share: schemas that one after another uses, each of them empty."""

from contextlib import closing

import pytest
from sqlalchemy import text

from app.db.engine import Store
from app.db.models import Dataset, JobEvent
from tests import databases
from tests.databases import migrated_schema


@pytest.fixture(autouse=True)
def none_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """By other tests of this process: the first schema is a new one, the second is it again or another."""
    monkeypatch.setattr(databases, "_free", [])


def schema_of(url: str) -> str:
    return url.partition("application_name=")[2].partition("&")[0]


def test_a_schema_comes_back_empty() -> None:
    schemas = set()
    for _ in range(2):
        with migrated_schema() as url, closing(Store(url)) as store:
            schemas.add(schema_of(url))
            with store.write() as session:
                assert session.query(Dataset).count() == 0
                session.add(Dataset(id="ds_1", name="one", bytes=1, sha256="0" * 64, upload_key="uploads/ds_1"))
    assert len(schemas) == 1
    databases.drop_kept_schemas()


@pytest.mark.parametrize("statement", ["ALTER TABLE datasets ADD COLUMN colour text", "DROP TABLE job_events"])
def test_one_that_was_altered_is_not_used_again(statement: str) -> None:
    with migrated_schema() as url, closing(Store(url)) as store, store.write() as session:
        session.execute(text(statement))
    with migrated_schema() as other:
        assert schema_of(other) != schema_of(url)
    databases.drop_kept_schemas()


def test_one_that_somebody_may_still_write_to_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_LEAVE_SECONDS", 0.1)
    with migrated_schema() as url:
        store = Store(url)
        with store.read() as session:
            session.query(JobEvent).count()
    with closing(store), migrated_schema() as other:
        assert schema_of(other) != schema_of(url)
    databases.drop_kept_schemas()
