"""Every option of a job's spec as a field of a form: its name, text, bounds and default come from the schema."""

import ast
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from app.domain.config import DistillConfig, ExportConfig, ExportFormat, ReprogramConfig, ViewConfig
from app.domain.errors import InvalidRequest
from app.domain.methods import METHODS
from app.domain.spec import TrainingSpec

GROUPS = {
    "views": ("How images are cut", ViewConfig),
    "reprogram": ("Stage 1: the teacher is adapted", ReprogramConfig),
    "distill": ("Stage 2: the student learns", DistillConfig),
    "export": ("How files are made and measured", ExportConfig),
}
_ELSEWHERE = {"export.formats"}


@dataclass(frozen=True, slots=True)
class Knob:
    """One option."""

    name: str
    """With its group: `distill.temperature`."""
    kind: str
    """`number`, `integer`, `boolean` or `choice`."""
    default: Any
    text: str
    choices: Sequence[str] = ()
    bounds: str = ""
    read_by: str = ""
    """The methods that read it, with blanks between them; "" where all do."""

    @property
    def label(self) -> str:
        return self.name.partition(".")[2].replace("_", " ")


@cache
def groups() -> Mapping[str, tuple[str, Sequence[Knob]]]:
    """By the name of the group: its title and its knobs."""
    return {name: (title, tuple(_knobs(name, model))) for name, (title, model) in GROUPS.items()}


def read(sent: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The options of a form that differ from their defaults, by group.

    Raises:
        InvalidRequest: a number is none.
    """
    chosen: dict[str, dict[str, Any]] = {}
    for group, (_, knobs) in groups().items():
        for knob in knobs:
            value = _value(knob, sent.get(knob.name, "").strip())
            if value is not None and value != knob.default:
                chosen.setdefault(group, {})[knob.name.partition(".")[2]] = value
    return chosen


def _knobs(group: str, model: type[Any]) -> Iterator[Knob]:
    schema = model.model_json_schema()
    texts = _docstrings(model)
    for name, found in schema["properties"].items():
        if f"{group}.{name}" in _ELSEWHERE:
            continue
        options = [found, *found.get("anyOf", ())]
        typed: dict[str, Any] = next(
            (each for each in options if each.get("type") not in {None, "null"} or "enum" in each), {}
        )
        choices = tuple(typed.get("enum", ()))
        kind = "choice" if choices else str(typed.get("type", ""))
        if kind not in {"number", "integer", "boolean", "choice"}:
            continue
        readers = [info.name for info in METHODS.values() if name in info.reads or name in info.options]
        is_shared = group != "distill" or name in DistillConfig.__base__.model_fields  # type: ignore[union-attr]
        yield Knob(
            f"{group}.{name}",
            kind,
            found.get("default"),
            texts.get(name) or found.get("description", ""),
            choices,
            _bounds(typed),
            "" if is_shared else " ".join(readers),
        )


def _bounds(schema: Mapping[str, Any]) -> str:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None and high is None:
        return ""
    return f"{low if low is not None else ''} to {high:,}" if high is not None else f"from {low}"


def _docstrings(model: type[Any]) -> dict[str, str]:
    """The text behind each field, as the class has it; a base's fields too."""
    texts: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if not issubclass(each, TrainingSpec.__base__ or object) or not each.__module__.startswith("app.domain.config"):
            continue
        body = ast.parse(inspect.getsource(each)).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, after in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                texts[field.target.id] = inspect.cleandoc(str(after.value.value)).replace("\n", " ")
    return texts


def _value(knob: Knob, text: str) -> Any:
    """None where the field is empty: the default."""
    if not text:
        return None
    if knob.kind == "boolean":
        return text == "true"
    if knob.kind == "choice":
        return text
    try:
        return int(text) if knob.kind == "integer" else float(json.loads(text))
    except (ValueError, TypeError) as error:
        raise InvalidRequest(f"{knob.name}: '{text}' is no number.", param=knob.name) from error


FORMATS = tuple(each.value for each in ExportFormat)
