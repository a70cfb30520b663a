"""What workers announce, on both databases."""

import pytest
from sqlalchemy import func, select

from app.db.engine import Store
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
            catalog.announce(session, "a", "training", "cpu", offer("x", "y"))
            catalog.announce(session, "b", "training", "cuda:0", offer("y", "z"))
        assert students(store) == ["x", "y", "z"]

    def test_again_replaces_what_the_same_worker_offered(self, store: Store) -> None:
        with store.write() as session:
            first = catalog.announce(session, "a", "training", "cpu", offer("x"))
        with store.write() as session:
            assert catalog.announce(session, "a", "training", "cpu", offer("y")) == first
        assert students(store) == ["y"]

    def test_stores_an_offer_once(self, store: Store) -> None:
        with store.write() as session:
            ids = {catalog.announce(session, host, "training", "cpu", offer("x")) for host in "abc"}
        with store.read() as session:
            assert len(ids) == session.scalar(select(func.count()).select_from(Worker)) == 3
            assert session.scalar(select(func.count()).select_from(CatalogRow)) == 1

    def test_of_an_import_worker_offers_nothing(self, store: Store) -> None:
        with store.write() as session:
            catalog.announce(session, "a", "datasets", "cpu", None)
        with pytest.raises(CatalogEmpty):
            students(store)


class TestFind:
    def test_hints_at_the_nearest_name(self, store: Store) -> None:
        with store.write() as session:
            catalog.announce(session, "a", "training", "cpu", offer("mobilenetv3_small_050", "resnet50"))
            with pytest.raises(UnknownStudent) as caught:
                catalog.find_students(catalog.offer(session), ["resnet50", "mobilenet_v3_small_050"])
        assert caught.value.hint is not None and caught.value.hint.startswith("Did you mean mobilenetv3_small_050?")
