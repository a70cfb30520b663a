"""What workers announce, on both databases."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import CatalogRow, Worker
from app.domain.catalog import Catalog, StudentCard, TeacherCard
from app.domain.errors import CatalogEmpty, UnknownStudent
from app.services import catalog, catalog_lists
from tests.integration.conftest import Service


def offer(*names: str) -> Catalog:
    return Catalog(teachers=(), students=tuple(StudentCard(name=name, family="f", parameters=1) for name in names))


def students(store: Store) -> list[str]:
    with store.read() as session:
        return [card.name for card in catalog_lists.students(session, after=None, limit=100).items]


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
        with caplog.at_level("WARNING", "app"):  # another test may have asked for less
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

    @pytest.mark.parametrize("asked", ["MobileNet-V3", "mobilenetv3", "v3_small"])
    def test_hints_at_those_that_have_what_was_asked_for_in_their_names(self, store: Store, asked: str) -> None:
        family = [f"mobilenetv3_small_{width}" for width in ("050", "075", "100")]
        with store.write() as session:
            catalog.register(session, "a", "training", "cpu", offer(*family, "mobilenetv2_100", "mobilenet_v9"))
            with pytest.raises(UnknownStudent) as caught:
                catalog.find_students(catalog.offer(session), [asked])
        assert caught.value.hint == f"Did you mean {' or '.join(family)}? GET /v1/students lists all of them."

    def test_says_where_the_others_of_a_family_are(self, store: Store) -> None:
        family = [f"resnet{layers}" for layers in (101, 152, 18, 34, 50)]
        with store.write() as session:
            catalog.register(session, "a", "training", "cpu", offer(*family))
            with pytest.raises(UnknownStudent) as caught:
                catalog.find_students(catalog.offer(session), ["resnet"])
        hint = "Did you mean resnet101 or resnet152 or resnet18? GET /v1/students?q=resnet lists 5 of that name."
        assert caught.value.hint == hint


class TestLists:
    """Filters and orders over HTTP, on the catalogue of the service's fixture and a teacher nobody has built yet."""

    @pytest.fixture
    def names(self, service: Service) -> Callable[[str], list[str]]:
        unbuilt = TeacherCard(
            name="dino.big", architecture="dino", family="vision_transformer", input_size=518, licence="Apache-2.0"
        )
        picky = StudentCard(name="picky", family="f", parameters=2_000_000, refused_sizes=(32,))
        with service.store.write() as session:
            catalog.register(session, "b", "training", "cpu", Catalog(teachers=(unbuilt,), students=(picky,)))

        def ask(query: str) -> list[str]:
            answer = service.http.get(f"/v1/{query}")
            assert answer.status_code == 200, answer.text
            return [card["name"] for card in answer.json()["data"]]

        return ask

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("max_params=2M", ["mobilenetv3_small_050", "mobilenetv3_small_075", "picky"]),
            ("max_params=1.5m&min_params=1000001", ["mobilenetv3_small_075"]),
            ("min_params=5500000&max_params=0.0055B", ["vit_tiny_patch16_224"]),
            ("family=resnet", ["resnet50"]),
            ("q=TINY", ["vit_tiny_patch16_224"]),
            ("q=mobilenet&image_size=32&sort=-parameters", ["mobilenetv3_small_075", "mobilenetv3_small_050"]),
            ("image_size=32&family=f", []),
            ("image_size=64&family=f", ["picky"]),
            ("sort=parameters&limit=2", ["mobilenetv3_small_050", "mobilenetv3_small_075"]),
            ("sort=parameters&after=mobilenetv3_small_075&limit=1", ["picky"]),
            ("sort=-name&limit=1", ["vit_tiny_patch16_224"]),
            ("sort=-name&after=mobilenetv3_small_07", ["mobilenetv3_small_050"]),
        ],
    )
    def test_of_students(self, names: Callable[[str], list[str]], query: str, found: list[str]) -> None:
        assert names(f"students?{query}") == found

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("licence=apache", ["dino.big"]),
            ("max_params=20M", ["resnet18.a1_in1k", "vit_tiny_patch16_224.augreg_in21k"]),
            ("max_input_size=224&family=resnet", ["resnet18.a1_in1k"]),
            # what is unknown comes last, whatever the direction
            ("sort=parameters", ["vit_tiny_patch16_224.augreg_in21k", "resnet18.a1_in1k", "dino.big"]),
            ("sort=-parameters", ["resnet18.a1_in1k", "vit_tiny_patch16_224.augreg_in21k", "dino.big"]),
            ("sort=-input_size&limit=1", ["dino.big"]),
        ],
    )
    def test_of_teachers(self, names: Callable[[str], list[str]], query: str, found: list[str]) -> None:
        assert names(f"teachers?{query}") == found

    def test_pages_follow_each_other_in_every_order(self, names: Callable[[str], list[str]]) -> None:
        for sort in ("name", "-name", "parameters", "-parameters"):
            whole, seen = names(f"students?sort={sort}"), names(f"students?sort={sort}&limit=2")
            while len(seen) < len(whole):
                seen += names(f"students?sort={sort}&limit=2&after={seen[-1]}")
            assert seen == whole and len(whole) == 5

    def test_names_that_contain_what_is_searched_for_come_before_families(
        self, service: Service, names: Callable[[str], list[str]]
    ) -> None:
        others = [StudentCard(name=name, family="mobilenetv3", parameters=1) for name in ("fbnetv3_b", "tinynet_a")]
        with service.store.write() as session:
            catalog.register(session, "c", "training", "cpu", Catalog(teachers=(), students=tuple(others)))
        called, relatives = ["mobilenetv3_small_050", "mobilenetv3_small_075"], ["fbnetv3_b", "tinynet_a"]
        assert names("students?q=MobileNetV3") == called + relatives
        assert names("students?q=mobilenetv3&sort=-name") == called[::-1] + relatives[::-1]
        assert names("students?q=mobilenetv3&after=mobilenetv3_small_06") == [called[1], *relatives]
        assert names("students?q=mobilenetv3&after=fbnetv3_b") == ["tinynet_a"]

    def test_the_place_of_an_unknown_name_in_an_order_by_number_is_unknown(self, service: Service) -> None:
        answer = service.http.get("/v1/students?sort=parameters&after=gone")
        assert (answer.status_code, answer.json()["param"]) == (422, "after")

    @pytest.mark.parametrize("count", ["5 M", "M", "-1", "5T", "1e6", "٥"])
    def test_a_count_is_a_number(self, service: Service, count: str) -> None:
        answer = service.http.get("/v1/students", params={"max_params": count})
        assert (answer.status_code, answer.json()["param"]) == (422, "max_params")
