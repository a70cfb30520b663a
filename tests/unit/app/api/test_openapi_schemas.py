"""Names and examples in the OpenAPI document."""

from typing import Any

import pytest

from app.api.openapi_schemas import example_of, polish, public_name


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("JobRead", "Job"),
        ("ListPage_JobRead_", "JobList"),
        ("ListPage_DatasetListed_", "DatasetList"),
        ("ListPage_TeacherCard_", "TeacherList"),
        ("WebhookRead", "Webhook"),
        ("JobSpec-Input", "JobEstimateCreate"),
        ("JobSpec-Output", "JobSpec"),
        ("ViewConfig-Input", "ViewConfig"),
        ("ViewConfig-Output", "ViewConfigOutput"),
        ("Spread", "Spread"),
    ],
)
def test_a_schema_has_the_name_that_users_expect(name: str, public: str) -> None:
    assert public_name(name) == public


def document(**schemas: Any) -> dict[str, Any]:
    body = {"title": "Upload", "properties": {"file": {"title": "File", "type": "string"}}}
    operation = {"requestBody": {"content": {"multipart/form-data": {"schema": body}}}}
    return {"paths": {"/x": {"post": operation}}, "components": {"schemas": schemas}}


class TestPolish:
    def test_renames_references_and_keeps_a_field_named_title(self) -> None:
        made = document(
            JobRead={"title": "JobRead", "properties": {"title": {"title": "Title", "type": "string"}}},
            ListPage_JobRead_={"properties": {"data": {"items": {"$ref": "#/components/schemas/JobRead"}}}},
        )
        polish(made)
        schemas = made["components"]["schemas"]
        assert schemas["JobList"]["properties"]["data"]["items"]["$ref"] == "#/components/schemas/Job"
        assert schemas["Job"] == {"title": "Job", "properties": {"title": {"type": "string"}}}

    def test_leaves_values_as_they_are(self) -> None:
        made = document(Problem={"examples": [{"title": "Not found"}], "default": {"title": "x"}})
        polish(made)
        problem = made["components"]["schemas"]["Problem"]
        assert problem["examples"] == [{"title": "Not found"}] and problem["default"] == {"title": "x"}

    def test_names_the_schema_of_a_body(self) -> None:
        made = document()
        polish(made)
        content = made["paths"]["/x"]["post"]["requestBody"]["content"]["multipart/form-data"]
        assert content["schema"] == {"$ref": "#/components/schemas/Upload"}
        assert made["components"]["schemas"]["Upload"]["properties"]["file"] == {"type": "string"}

    def test_refuses_two_schemas_of_one_name(self) -> None:
        with pytest.raises(AssertionError):
            polish(document(Job={}, JobRead={}))


SCHEMAS = {"A": {"required": ["b"], "properties": {"b": {"type": "integer"}, "c": {"type": "integer"}}}}


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        ({"type": "string", "examples": ["a", "b"]}, "a"),
        ({"enum": ["x", "y"]}, "x"),
        ({"const": "job"}, "job"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None),
        ({"anyOf": [{"type": "string"}, {"type": "null"}], "examples": ["a"]}, "a"),
        ({"type": "integer", "minimum": 16}, 16),
        ({"type": "string", "format": "date-time"}, "2026-01-15T09:30:00Z"),
        ({"type": "array", "prefixItems": [{"type": "number"}, {"type": "boolean"}]}, [0.5, False]),
        ({"type": "array", "items": {"$ref": "#/components/schemas/A"}}, [{"b": 1}]),
        ({"type": "object", "additionalProperties": {"type": "number"}}, {"name": 0.5}),
        ({"$ref": "#/components/schemas/A", "examples": [{"b": 7}]}, {"b": 7}),
    ],
)
def test_an_example_is_made_of_what_the_schema_says(schema: dict[str, Any], example: object) -> None:
    assert example_of(schema, SCHEMAS) == example
