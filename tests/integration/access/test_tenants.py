"""What holds for every route there is: no way in without a key and its scope, and other tenants' objects do not exist.

The cases come from the route table, so that a new route cannot be forgotten.
"""

import hashlib
import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from app.api import routes
from app.db.ids import new_id
from app.domain.access import Scope
from app.domain.manifest import ArtifactFile
from app.main import create_app
from app.services.leases import claim_job, finish_job
from app.settings import Settings
from tests.integration.conftest import Service
from tests.integration.guarding import OPERATOR, guard, key_of
from tests.unit.app.reports.planted import evaluation

TUS = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Upload-Length": "3"}
PREFIXES = {
    "dataset_id": "ds",
    "job_id": "job",
    "upload_id": "upl",
    "key_id": "key",
    "webhook_id": "wh",
    "delivery_id": "dlv",
}
"""A path's parameters that are ids. A new kind of object needs a line here, and one in `objects_of`."""
BODIES = {
    ("POST", "/v1/webhooks"): b'{"url": "https://hooks.example/"}',
    ("PATCH", "/v1/webhooks/{webhook_id}"): b'{"description": "d"}',
    ("POST", "/v1/datasets/{dataset_id}/layout"): b'{"layout": "folders:1"}',
}
"""JSON that a route takes, where it is not the name of something."""
IN_BODY = {
    ("POST", "/v1/jobs"): "dataset_id",
    ("POST", "/v1/jobs/estimate"): "dataset_id",
    ("POST", "/v1/datasets"): "upload_id",
}
LOOKING_POSTS = {"/v1/jobs/{job_id}/predict", "/v1/jobs/{job_id}/events/ticket", "/v1/jobs/estimate"}
"""What changes nothing and has a body all the same."""
NAMES = {"name": "student.onnx"}
"""Those that are none."""


@dataclass(frozen=True)
class Operation:
    """A route with one of its methods, and what the OpenAPI document says of it."""

    method: str
    path: str
    described: Mapping[str, Any] = field(repr=False)

    @property
    def parameters(self) -> list[str]:
        return [part[1:-1].partition(":")[0] for part in self.path.split("/") if part.startswith("{")]

    @property
    def media_type(self) -> str:
        content = self.described.get("requestBody", {}).get("content", {})
        return "application/json" if "application/json" in content else next(iter(content), "")

    @property
    def takes_ids(self) -> bool:
        return bool(self.parameters) or (self.method, self.path) in IN_BODY

    def url(self, ids: Mapping[str, str]) -> str:
        return self.path.replace(":path}", "}").format(**ids, **NAMES)

    def body(self, ids: Mapping[str, str]) -> bytes:
        """What it takes, with ids wherever the document has some."""
        if self.media_type != "application/json":
            return b"abc" if self.media_type else b""
        names = (
            ""
            if self.path not in {"/v1/jobs", "/v1/jobs/estimate"}
            else ', "student": "mobilenetv3_small_050", "method": "scratch"'
        )
        if self.path.endswith("/cancel"):
            return b"{}"
        wanted = IN_BODY.get((self.method, self.path))
        if wanted is None:
            return BODIES.get((self.method, self.path), b'{"name": "n"}')
        return f'{{"{wanted}": "{ids[wanted]}"{names}}}'.encode()

    def headers(self) -> dict[str, str]:
        return TUS | ({"Content-Type": self.media_type} if self.media_type else {})


def table() -> Iterator[Operation]:
    """Every operation under /v1, deleting ones last."""
    document = create_app(Settings()).openapi()
    found = []
    for module in pkgutil.iter_modules(routes.__path__):
        for route in importlib.import_module(f"{routes.__name__}.{module.name}").router.routes:
            assert isinstance(route, APIRoute)
            for method in route.methods if route.path.startswith("/v1/") else ():
                described = document["paths"][route.path.replace(":path}", "}")][method.lower()]
                found.append(Operation(method, route.path, described))
    return iter(sorted(found, key=lambda operation: operation.method == "DELETE"))


OPERATIONS = list(table())


def objects_of(service: Service, http: httpx.Client) -> dict[str, str]:
    """One object of each kind, of the default tenant."""
    job_id = service.submit()
    with service.store.write() as session:
        claim = claim_job(session, job_id, "wk_1")
        assert claim is not None
        sha256 = hashlib.sha256(b"abc").hexdigest()
        file = ArtifactFile(name="student.onnx", bytes=3, sha256=sha256, media_type="application/onnx")
        assert finish_job(session, claim, [file], evaluation().model_dump(mode="json"), {"accuracy": 0.9})
    service.put_artifact(job_id, claim.epoch, "student.onnx", b"abc")
    upload = http.post("/v1/uploads", headers=OPERATOR | TUS).headers["Location"]
    key = http.post("/v1/keys", headers=OPERATOR, json={"name": "n"}).json()
    webhook = http.post("/v1/webhooks", headers=OPERATOR, json={"url": "https://hooks.example/theirs"}).json()
    delivery = http.post(f"/v1/webhooks/{webhook['id']}/test", headers=OPERATOR).json()
    return {
        "dataset_id": service.ready_dataset(),
        "job_id": job_id,
        "upload_id": upload.rpartition("/")[2],
        "key_id": key["id"],
        "webhook_id": webhook["id"],
        "delivery_id": delivery["id"],
    }


def ask(http: httpx.Client, operation: Operation, ids: Mapping[str, str], key: Mapping[str, str]) -> httpx.Response:
    headers = operation.headers() | dict(key)
    return http.request(operation.method, operation.url(ids), content=operation.body(ids), headers=headers)


def seen(answer: httpx.Response) -> tuple[int, dict[str, Any], set[str]]:
    """What a stranger can tell two answers by: all but the id of the request and the path, which they know."""
    problem = answer.json() if answer.content else {}
    return answer.status_code, {**problem, "request_id": "", "instance": ""}, set(answer.headers)


class TestOtherTenants:
    def test_bad_input_row02_get_the_same_404_as_for_an_unknown_id(self, service: Service) -> None:
        with guard(service) as http:
            theirs, stranger = objects_of(service, http), key_of(service, "stranger")
            unknown = {name: new_id(prefix) for name, prefix in PREFIXES.items()}
            taking_ids = [operation for operation in OPERATIONS if operation.takes_ids]
            assert len(taking_ids) > 15
            for operation in taking_ids:
                assert set(operation.parameters) <= PREFIXES.keys() | NAMES.keys(), operation
                answers = [ask(http, operation, ids, stranger) for ids in (theirs, unknown)]
                assert seen(answers[0]) == seen(answers[1]), operation
                assert answers[0].status_code == 404, operation
            # the requests were good ones: who owns the objects gets something else
            for operation in taking_ids:
                assert ask(http, operation, theirs, OPERATOR).status_code != 404, operation

    def test_see_nothing_in_lists(self, service: Service) -> None:
        lists = [op for op in OPERATIONS if op.method == "GET" and not op.parameters]
        lists = [op for op in lists if op.described["tags"] != ["catalogue"]]  # that is everyone's
        lists = [op for op in lists if not any(p.get("required") for p in op.described.get("parameters", ()))]
        with guard(service) as http:
            theirs, stranger = objects_of(service, http), key_of(service, "stranger")
            assert len(lists) >= 4
            for operation in lists:
                own, others = (ask(http, operation, theirs, key).text for key in (OPERATOR, stranger))
                assert any(object_id in own for object_id in theirs.values()), operation
                assert not any(object_id in others for object_id in theirs.values()), operation


class TestEveryRoute:
    def test_names_its_ids_in_bodies_as_this_test_knows_them(self) -> None:
        schemas = create_app(Settings()).openapi()["components"]["schemas"]
        named = {
            ((operation.method, operation.path), name)
            for operation in OPERATIONS
            for content in operation.described.get("requestBody", {}).get("content", {}).values()
            for name in _properties(content.get("schema", {}), schemas)
            if name.endswith("_id")
        }
        assert named == set(IN_BODY.items())

    def test_bad_input_row03_takes_a_malformed_id_for_an_unknown_one(self, service: Service) -> None:
        malformed = ["0", "ds_0", "job_", "x" * 300, "a%00", "%F0%9F%99%82", "job_01jcz7q5w3n0r8v6t4x2y1a9bc", "%5C"]
        unknown = {name: new_id(prefix) for name, prefix in PREFIXES.items()}
        with guard(service) as http:
            for operation in OPERATIONS:
                for bad in malformed if operation.parameters else ():
                    answers = [ask(http, operation, ids, OPERATOR) for ids in (dict.fromkeys(PREFIXES, bad), unknown)]
                    assert seen(answers[0]) == seen(answers[1]), (operation, bad)
                    assert answers[0].status_code == 404, (operation, bad)

    @pytest.mark.parametrize("status", ["401", "403", "429"])
    def test_documents_being_refused(self, status: str) -> None:
        for operation in OPERATIONS:
            assert status in operation.described["responses"], operation

    def test_wants_a_key_and_its_scope(self, service: Service) -> None:
        ids = {name: new_id(prefix) for name, prefix in PREFIXES.items()}
        keys = {scope: key_of(service, "default", scope) for scope in Scope}
        with guard(service) as http:
            for operation in OPERATIONS:
                assert ask(http, operation, ids, {}).status_code == 401, operation
                looks = operation.method in {"GET", "HEAD", "OPTIONS"} or operation.path in LOOKING_POSTS
                wanted = Scope.READ if looks else Scope.WRITE
                if operation.described["tags"] == ["access"]:
                    wanted = Scope.ADMIN
                for scope, key in keys.items():
                    refused = ask(http, operation, ids, key).status_code == 403
                    assert refused == (scope is not wanted), (operation, scope)


def _properties(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> set[str]:
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    options = (_properties(option, schemas) for option in schema.get("anyOf", ()))
    return set(schema.get("properties", ())).union(*options)
