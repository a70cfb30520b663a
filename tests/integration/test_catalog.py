"""What workers announce, on both databases."""

import hashlib
import json
from typing import Any

import pytest
from sqlalchemy import func, select

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import CatalogRow, Worker
from app.domain.catalog import Catalog, StudentCard
from app.domain.errors import CatalogEmpty, UnknownStudent
from app.services import catalog


def offer(*names: str) -> Catalog:
    return Catalog(teachers=(), students=tuple(StudentCard(name=name, family="f", parameters=1) for name in names))


def students(store: Store) -> list[str]:
    with store.read() as session:
        return [card.name for card in catalog.students(session, after=None, limit=100).items]


class TestAnnounce:
    def test_is_the_union_of_what_workers_offer(self, store: Store) -> None:
        with store.write() as session:
            catalog.register(session, "a", "training", "cpu", offer("x", "y"))
            catalog.register(session, "b", "training", "cuda:0", offer("y", "z"))
        assert students(store) == ["x", "y", "z"]

    def test_again_replaces_what_the_same_worker_offered(self, store: Store) -> None:
        with store.write() as session:
            first = catalog.register(session, "a", "training", "cpu", offer("x"))
        with store.write() as session:
            assert catalog.register(session, "a", "training", "cpu", offer("y")) == first
        assert students(store) == ["y"]

    def test_stores_an_offer_once(self, store: Store) -> None:
        with store.write() as session:
            ids = {catalog.register(session, host, "training", "cpu", offer("x")) for host in "abc"}
        with store.read() as session:
            assert len(ids) == session.scalar(select(func.count()).select_from(Worker)) == 3
            assert session.scalar(select(func.count()).select_from(CatalogRow)) == 1

    def test_of_an_import_worker_offers_nothing(self, store: Store) -> None:
        with store.write() as session:
            catalog.register(session, "a", "datasets", "cpu", None)
        with pytest.raises(CatalogEmpty):
            students(store)


class TestOfAnotherVersion:
    """Rows outlive the worker that wrote them, and a worker of the next version may register beside us."""

    def test_what_we_do_not_know_of_a_card_is_ignored(self, store: Store) -> None:
        later = offer("x").model_dump(mode="json") | {"licences": ["MIT"]}
        later["students"][0]["energy"] = 7
        register_payload(store, "a", later)
        assert students(store) == ["x"]

    def test_an_offer_that_cannot_be_read_takes_no_other_away(
        self, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        register_payload(store, "a", {"networks": [new_id("wk")]})  # offers are remembered by digest
        with store.write() as session:
            catalog.register(session, "b", "training", "cpu", offer("y"))
        assert students(store) == ["y"]
        assert "another version" in caplog.text

    def test_alone_it_is_as_good_as_none(self, store: Store) -> None:
        register_payload(store, "a", {"networks": [new_id("wk")]})  # offers are remembered by digest
        with pytest.raises(CatalogEmpty):
            students(store)


def register_payload(store: Store, hostname: str, payload: dict[str, Any]) -> None:
    """As another version would have."""
    digest = hashlib.sha256(json.dumps(payload).encode()).hexdigest()
    with store.write() as session:
        session.add(CatalogRow(sha256=digest, payload=payload))
        session.flush()
        session.add(Worker(id=new_id("wk"), hostname=hostname, queue="training", catalog_sha256=digest))


class TestFind:
    def test_hints_at_the_nearest_name(self, store: Store) -> None:
        with store.write() as session:
            catalog.register(session, "a", "training", "cpu", offer("mobilenetv3_small_050", "resnet50"))
            with pytest.raises(UnknownStudent) as caught:
                catalog.find_students(catalog.offer(session), ["resnet50", "mobilenet_v3_small_050"])
        assert caught.value.hint is not None and caught.value.hint.startswith("Did you mean mobilenetv3_small_050?")
