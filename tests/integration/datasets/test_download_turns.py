"""Slow sources of one tenant: how many import workers they may hold, and who is next."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.db.engine import Store
from app.db.models import Dataset
from app.domain.access import Caller, Quotas
from app.domain.states import DatasetState
from app.services import sources
from app.services.dataset_leases import DatasetClaim, claim_next_dataset, keep_fetched, reject_dataset
from app.services.sources import Source
from app.storage.blobs import Blobs
from tests.archives import Archive, hangs_after
from tests.integration.conftest import Service
from tests.integration.datasets.test_importing import archive_of, wait_for
from tests.integration.datasets.test_sources import Fetching
from tests.integration.workers.test_leases import add_dataset
from tests.receiving import receiving
from tests.support import client_of

ARCHIVE = archive_of(images_per_class=6)


def add_download(store: Store, tenant: str) -> str:
    source = Source("https://a.example/images.zip", "images.zip")
    with store.write() as session:
        return sources.create(session, Quotas(), Caller(tenant, "local"), source).id


def claim(store: Store, named: str = "ds_none", most: int = 1) -> DatasetClaim | None:
    with store.write() as session:
        return claim_next_dataset(session, named, "wk_1", most)


def claimed(store: Store, named: str = "ds_none", most: int = 1) -> str | None:
    found = claim(store, named, most)
    return None if found is None else found.id


class TestClaim:
    def test_a_tenant_holds_one_place_and_others_go_on(self, store: Store) -> None:
        slow = [add_download(store, "a") for _ in range(3)]
        other = add_download(store, "b")
        assert claimed(store, slow[0]) == slow[0]
        assert claimed(store, slow[1]) == other
        assert claimed(store, slow[1]) is None
        stored = add_dataset(store)
        assert claimed(store, slow[2]) == stored

    def test_imports_what_was_uploaded_in_the_order_of_the_messages(self, store: Store) -> None:
        add_download(store, "a")
        first, second = add_dataset(store), add_dataset(store)
        assert [claimed(store, second), claimed(store)] == [second, first]

    def test_its_place_is_free_once_the_archive_has_come_or_cannot(self, store: Store) -> None:
        waiting = [add_download(store, "a") for _ in range(3)]
        first = claim(store)
        assert first is not None
        with store.write() as session:
            assert keep_fetched(session, Quotas(), first, first.upload_key, 9, "0" * 64)
        second = claim(store)
        assert second is not None
        assert claim(store) is None
        with store.write() as session:
            assert reject_dataset(session, second, {"code": "source_too_slow"})
        assert (first.id, second.id, claimed(store)) == tuple(waiting)

    def test_one_worker_serves_the_tenants_in_turn(self, store: Store) -> None:
        add_download(store, "a"), add_download(store, "a"), add_download(store, "a")
        add_download(store, "b"), add_download(store, "b")
        served = ""
        for _ in range(5):
            held = claim(store)
            assert held is not None
            with store.write() as session:
                served += str(session.get_one(Dataset, held.id).tenant)
                assert reject_dataset(session, held, {"code": "source_too_slow"})
        assert served == "ababa"

    def test_any_number_where_there_is_no_limit(self, store: Store) -> None:
        for _ in range(3):
            add_download(store, "a")
        assert None not in [claimed(store, most=0) for _ in range(3)]

    def test_two_workers_at_once_do_not_both_take_the_last_place(self, store: Store) -> None:
        for _ in range(4):
            add_download(store, "a")
        together = threading.Barrier(4)

        def take(_: int) -> DatasetClaim | None:
            together.wait()
            return claim(store)

        with ThreadPoolExecutor(4) as threads:
            assert sum(found is not None for found in threads.map(take, range(4))) == 1


@pytest.fixture
def fetching(service: Service) -> Iterator[Fetching]:
    changes = {"outbound_allow": "127.0.0.1", "heartbeat_seconds": 0.1, "cancel_poll_seconds": 0.05}
    settings = service.settings.model_copy(update=changes)
    with receiving(hangs_after(ARCHIVE, 2000)) as server, client_of(settings) as http:
        yield Fetching(Service(http, service.store, Blobs(settings.storage), settings, service.tmp_path), server)


class TestWorkers:
    def test_slow_sources_leave_a_worker_to_others(self, fetching: Fetching) -> None:
        slow, after = fetching.send(), fetching.send()
        thread = threading.Thread(target=fetching.importer().run, args=[slow])
        thread.start()
        wait_for(lambda: fetching.row(slow).progress > 0)

        fetching.importer().run(after)
        assert fetching.row(after).epoch == 0
        sent = fetching.service.http.post("/v1/datasets", files={"file": ("a.zip", ARCHIVE)}).json()["id"]
        fetching.importer().run(after)
        assert fetching.shown(sent)["state"] == "ready"

        fetching.server.behaviour = Archive(ARCHIVE)
        fetching.server.released.set()
        thread.join()
        assert fetching.row(slow).state == DatasetState.READY
        assert fetching.requeued == [after]
        fetching.importer().run(after)
        assert fetching.shown(after)["state"] == "ready"
