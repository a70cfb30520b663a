"""The OpenAPI document says everything that a person or a generator of clients needs to know."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app.main import create_app
from app.settings import Settings

BYTES = {"type": "string", "format": "binary"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(create_app(Settings()).openapi()))
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


class TestTexts:
    def test_every_schema_and_field_is_explained(self, document: dict[str, Any]) -> None:
        lacking = []
        for name, schema in document["components"]["schemas"].items():
            lacking += [] if schema.get("description") else [name]
            for field, described in schema.get("properties", {}).items():
                # what has one value only, `"object": "job"`, says it itself
                if not described.get("description") and "const" not in described:
                    lacking.append(f"{name}.{field}")
        assert lacking == []

    def test_every_parameter_and_operation_is_explained(self, document: dict[str, Any]) -> None:
        lacking = []
        for name, operation in operations(document):
            lacking += [] if operation.get("description") and operation.get("summary") else [name]
            for parameter in operation.get("parameters", ()):
                lacking += [] if parameter.get("description") else [f"{name} {parameter['name']}"]
        assert lacking == []


class TestSchemas:
    def test_have_the_names_that_users_expect(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        expected = {"Job", "JobCreate", "JobList", "JobSpec", "Dataset", "DatasetList", "TeacherList", "Problem"}
        assert expected <= set(schemas)
        assert not [name for name in schemas if not name.isidentifier() or name.endswith(("Read", "_"))]

    def test_of_requests_and_answers_are_apart(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        assert schemas["JobCreate"]["required"] == ["dataset_id"]
        assert set(schemas["JobSpec"]["required"]) == set(schemas["JobSpec"]["properties"])
        assert "object" in schemas["Job"]["required"]

    def test_the_codes_of_problems_are_an_enum(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        assert schemas["Problem"]["properties"]["code"]["$ref"] == "#/components/schemas/ProblemCode"
        assert {"not_found", "invalid_request", "rate_limited"} <= set(schemas["ProblemCode"]["enum"])


class TestBytes:
    def test_files_in_bodies_are_binary(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        seen = 0
        for name, operation in operations(document):
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                if media_type == "multipart/form-data":
                    form = schemas[content["schema"]["$ref"].rpartition("/")[2]]
                    assert BYTES.items() <= form["properties"]["file"].items(), name
                elif media_type != "application/json":
                    assert content["schema"] == BYTES, (name, media_type)
                seen += media_type != "application/json"
        assert seen > 5

    def test_downloads_are_binary(self, document: dict[str, Any]) -> None:
        downloads = [operation for _, operation in operations(document) if "206" in operation["responses"]]
        assert len(downloads) == 2
        for operation in downloads:
            for status in ("200", "206"):
                content = operation["responses"][status]["content"]
                assert content["application/octet-stream"]["schema"] == BYTES


class TestExamples:
    def test_every_answer_in_json_has_one_that_fits_its_schema(self, document: dict[str, Any]) -> None:
        seen = 0
        for name, operation in operations(document):
            for status, response in operation["responses"].items():
                content = response.get("content", {}).get("application/json")
                if content is None or not status.startswith("2"):
                    continue
                # the examples' references lead into the whole document
                schema = document | {"$ref": "#/x"} | {"x": content["schema"]}
                errors = [error.message for error in Draft202012Validator(schema).iter_errors(content["example"])]
                assert errors == [], name
                seen += 1
        assert seen > 20
