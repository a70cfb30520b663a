"""The schemas of the OpenAPI document as pydantic models."""

import keyword
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

Schema = dict[str, Any]
FIELDS = {"class": "name"}
"""Fields whose name Python keeps for itself."""
LEFT_OUT = ("ListPage", "Problem")
"""Written by hand: pages, which are generic, and problems, which are raised."""
WIDTH = 112
_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
HEAD = '''"""What the service returns and takes. Generated from its OpenAPI document by client/tools; not to be edited.

Every model keeps fields that it does not know, and a text of a few known values may have another one: a newer service
may say more, and that is no error.
"""

from datetime import datetime
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """The base of all models."""

    model_config = ConfigDict(extra="allow", protected_namespaces=(), use_attribute_docstrings=True)
'''


def render(schemas: Mapping[str, Schema]) -> str:
    wanted = {name: schema for name, schema in schemas.items() if not name.startswith(LEFT_OUT) and not _is_page(name)}
    parts = [HEAD]
    for name in _in_order(wanted):
        schema = wanted[name]
        parts.append(_enum(name, schema) if "enum" in schema else _model(name, schema, schemas))
    return "\n\n".join(parts) + "\n"


def job_schema(schemas: Mapping[str, Schema]) -> Schema:
    """The JSON Schema of a `job.yaml`: the body of `POST /v1/jobs`, where the data set may also come from elsewhere."""
    root = schemas["JobCreate"]
    needed: dict[str, Schema] = {}

    def collect(schema: Any) -> None:
        for name in _references(schema):
            if name not in needed:
                needed[name] = schemas[name]
                collect(schemas[name])

    collect(root)
    properties = {**root["properties"]}
    properties["dataset_id"] = {"type": "string", "description": "A data set that is `ready`. Or give it by --dataset."}
    body = {**root, "properties": properties, "required": [n for n in root.get("required", ()) if n != "dataset_id"]}
    text = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:tdmr:schema:job",
        **body,
        "title": "A tdmr job",
        "$defs": dict(sorted(needed.items())),
    }
    local: Schema = _relocated(text)
    return local


def _relocated(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: one.replace("#/components/schemas/", "#/$defs/") if key == "$ref" else _relocated(one)
            for key, one in value.items()
        }
    return [_relocated(one) for one in value] if isinstance(value, list) else value


def _is_page(name: str) -> bool:
    """As `JobList` is."""
    return name.endswith("List")


def _in_order(schemas: Mapping[str, Schema]) -> Iterator[str]:
    """Each behind those that it names."""
    done: set[str] = set()

    def visit(name: str) -> Iterator[str]:
        if name in done or name not in schemas:
            return
        done.add(name)
        for other in sorted(_references(schemas[name])):
            yield from visit(other)
        yield name

    for name in sorted(schemas):
        yield from visit(name)


def _references(value: Any) -> set[str]:
    found: set[str] = set()
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            found.add(value["$ref"].rpartition("/")[2])
        for one in value.values():
            found |= _references(one)
    elif isinstance(value, list):
        for one in value:
            found |= _references(one)
    return found


def _enum(name: str, schema: Schema) -> str:
    values = ", ".join(f'"{value}"' for value in schema["enum"])
    said = f'\n"""{schema["description"]}"""' if "description" in schema else ""
    return f"{name}: TypeAlias = Literal[{values}] | str{said}"


def _model(name: str, schema: Schema, schemas: Mapping[str, Schema]) -> str:
    lines = [f"class {name}(Model):", *_docstring(schema.get("description", name), "    ")]
    fields = [(key, one, key in schema.get("required", ())) for key, one in schema.get("properties", {}).items()]
    if fields:
        lines.append("")
    # what is always there first: the order has no meaning, and a model is read from the top
    for key, one, required in sorted(fields, key=lambda field: not field[2] and "const" not in field[1]):
        lines += _field(key, one, required, schemas)
    return "\n".join(lines)


def _field(key: str, schema: Schema, required: bool, schemas: Mapping[str, Schema]) -> list[str]:
    name, kind = FIELDS.get(key, f"{key}_" if keyword.iskeyword(key) else key), type_of(schema)
    arguments = []
    # what an older service or an older job does not have is no error, where something else can stand for it
    if not required or "default" in schema or "None" in kind.split(" | "):
        if "default" not in schema and "None" not in kind.split(" | "):
            kind = f"{kind} | None"
        default = _default(schema.get("default"), schema, schemas)
        arguments.append(default)
    if name != key:
        arguments.append(f'alias="{key}"')
    if len(arguments) == 1 and arguments[0].startswith("default="):
        line = f"    {name}: {kind} = {arguments[0].removeprefix('default=')}"
    else:
        line = f"    {name}: {kind}" + (f" = Field({', '.join(arguments)})" if arguments else "")
    return [line, *(_docstring(schema["description"], "    ") if "description" in schema else ())]


def _default(value: Any, schema: Schema, schemas: Mapping[str, Schema]) -> str:
    if "$ref" in schema and "enum" not in schemas[schema["$ref"].rpartition("/")[2]]:
        return f"default_factory={type_of(schema)}"
    if isinstance(value, list | dict):
        return f"default_factory=lambda: {value!r}" if value else f"default_factory={type(value).__name__}"
    return f"default={value!r}"


def type_of(schema: Schema) -> str:  # noqa: PLR0911 (one line for each kind)
    """The Python type of a JSON Schema."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return f"Literal[{schema['const']!r}]"
    if "enum" in schema:
        return f"Literal[{', '.join(repr(value) for value in schema['enum'])}] | str"
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " | ".join(dict.fromkeys(type_of(option) for option in options))
    kind = schema.get("type")
    if kind == "array":
        if "prefixItems" in schema:
            return f"tuple[{', '.join(type_of(item) for item in schema['prefixItems'])}]"
        return f"list[{type_of(schema.get('items', {}))}]"
    if kind == "object":
        values = schema.get("additionalProperties", {})
        return f"dict[str, {type_of(values) if isinstance(values, dict) else 'Any'}]"
    if kind == "string" and schema.get("format") == "date-time":
        return "datetime"
    return _PLAIN.get(str(kind), "Any")


def _docstring(text: str, indent: str) -> list[str]:
    paragraphs = text.replace("\\", "\\\\").strip().split("\n\n")
    wrapped = "\n\n".join(textwrap.fill(" ".join(one.split()), WIDTH) for one in paragraphs)
    quoted = f'"""{wrapped}"""' if "\n\n" not in wrapped else f'"""{wrapped}\n"""'
    return [f"{indent}{line}".rstrip() for line in quoted.split("\n")]
