"""The schemas of the OpenAPI document as a user of a generated client wants to find them.

`JobRead` is `Job` there and `ListPage[JobRead]` is `JobList`. What is sent and what is received are schemas of their
own: a request may leave out what has a default, an answer has every field.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

Schema = dict[str, Any]
REF = "#/components/schemas/"
NAMES = {
    "DatasetListed": "DatasetSummary",
    "AuditRead": "AuditEntry",
    "KeyRead": "ApiKey",
    "KeyCreate": "ApiKeyCreate",
    "KeyCreated": "ApiKeyCreated",
    "EventRead": "JobEvent",
}
"""Where the rules of `public_name` would give another name."""
LISTS = {"DatasetListed": "DatasetList"}
_VALUES = {"example", "examples", "default", "const", "enum"}
"""What stands under these keys is a value and no schema."""


def public_name(name: str) -> str:
    """The name of a schema in the document, by its name in the code."""
    if name in NAMES:
        return NAMES[name]
    if listed := re.fullmatch(r"ListPage_(\w+)_", name):
        return LISTS.get(listed[1], f"{public_name(listed[1])}List")
    base, _, mode = name.partition("-")
    return re.sub(r"(?<=\w)(Read|Card)$", "", base) + ("Output" if mode == "Output" else "")


def polish(document: Schema) -> None:
    """Name the schemas, move those of bodies to the others, and drop titles that only repeat a field's name."""
    schemas: Schema = document["components"]["schemas"]
    _collect_bodies(document, schemas)
    names = {name: public_name(name) for name in schemas}
    assert len(set(names.values())) == len(names), "two schemas have one name"
    document["components"]["schemas"] = {names[name]: schemas[name] for name in sorted(schemas, key=names.__getitem__)}

    def rename(schema: Schema) -> None:
        schema.pop("title", None)
        if "$ref" in schema:
            schema["$ref"] = REF + names[schema["$ref"].removeprefix(REF)]
        mapping = schema.get("discriminator", {}).get("mapping", {})
        for value, reference in mapping.items():
            mapping[value] = REF + names[reference.removeprefix(REF)]

    _walk(document["paths"], rename)
    _walk(document["components"], rename)
    for name, schema in document["components"]["schemas"].items():
        schema["title"] = name


def _collect_bodies(document: Schema, schemas: Schema) -> None:
    """A body's schema that has a title becomes one of the document's own, which generators can name; so does each of
    several that a body may have."""
    for methods in document["paths"].values():
        for operation in methods.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                schema = content.get("schema", {})
                if "anyOf" in schema:
                    content["schema"] = {"anyOf": [_collected(option, schemas) for option in schema["anyOf"]]}
                elif schema:
                    content["schema"] = _collected(schema, schemas)


def _collected(schema: Schema, schemas: Schema) -> Schema:
    if "title" not in schema or "properties" not in schema:
        return schema
    schemas.update(schema.pop("$defs", {}))
    schemas[schema["title"]] = schema
    return {"$ref": REF + schema["title"]}


def _walk(node: Any, change: Callable[[Schema], None]) -> None:
    """Every schema below, and whatever else is a mapping."""
    if isinstance(node, list):
        for item in node:
            _walk(item, change)
    elif isinstance(node, dict):
        change(node)
        for key, value in node.items():
            if key == "properties":  # whose keys are names of fields
                for schema in value.values():
                    _walk(schema, change)
            elif key not in _VALUES:
                _walk(value, change)


def example_of(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """A value as the schema describes it: of the examples, defaults and bounds of its fields.

    What may be null is null unless it has an example, and what may be missing is missing.
    """
    schema = _resolved(schema, schemas)
    if "properties" in schema and "examples" not in schema:
        always = schema.get("required", ())
        return {name: example_of(field, schemas) for name, field in schema["properties"].items() if name in always}
    default = [schema["default"]] if "default" in schema else []
    given = [
        *(value for value in default if value),
        *schema.get("examples", ()),
        *schema.get("enum", ()),
        *([schema["const"]] if "const" in schema else ()),
    ]
    if given:
        return given[0]
    if options := schema.get("anyOf"):
        return None if {"type": "null"} in options else example_of(options[0], schemas)
    if default:
        return default[0]
    return _EXAMPLES[schema.get("type", "object")](schema, schemas)


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    """What stands beside a reference counts more than what it refers to."""
    while "$ref" in schema:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        schema = schemas[schema["$ref"].removeprefix(REF)] | rest
    return schema


def _object(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Schema:
    others = schema.get("additionalProperties")
    return {"name": example_of(others, schemas)} if isinstance(others, dict) and others else {}


def _array(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[Any]:
    items = schema.get("prefixItems") or [schema["items"]] * max(1, schema.get("minItems", 0))
    return [example_of(item, schemas) for item in items]


def _number(schema: Mapping[str, Any], _: Mapping[str, Any]) -> float:
    return float(schema.get("minimum", 0.5))


def _integer(schema: Mapping[str, Any], _: Mapping[str, Any]) -> int:
    return int(schema.get("minimum", 1))


def _string(schema: Mapping[str, Any], _: Mapping[str, Any]) -> str:
    return "2026-01-15T09:30:00Z" if schema.get("format") == "date-time" else "text"


_EXAMPLES: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Any]] = {
    "object": _object,
    "array": _array,
    "number": _number,
    "integer": _integer,
    "string": _string,
    "boolean": lambda _, __: False,
    "null": lambda _, __: None,
}
