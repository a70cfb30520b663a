"""What the service knows of a training method without torch: its name, what it needs, which options it reads.

A method is one module of `worker/training/methods/`, with its losses, its config and its `MethodInfo`. The service may
not import it, so a method reaches the service as teachers and students do: workers announce it in their catalogue.
`methods.json` holds the methods of this release, with which a job is checked before a worker has announced any.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, StrictFloat, ValidationInfo, create_model

from app.domain.base import Frozen, WholeNumber

RELEASED = Path(__file__).with_name("methods.json")
"""Written by `python -m worker.training.methods.registry`."""

_TYPES: dict[str, Any] = {"number": StrictFloat, "integer": WholeNumber, "boolean": StrictBool}
_BOUNDS = {"minimum": "ge", "exclusiveMinimum": "gt", "maximum": "le", "exclusiveMaximum": "lt"}


class _Made(Frozen):
    """The base of a model without source code, in which texts could be looked for."""

    model_config = ConfigDict(use_attribute_docstrings=False)


class MethodInfo(Frozen):
    """One way for a student to learn."""

    model_config = ConfigDict(ignored_types=(cached_property,))

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=32)
    """As a job names it."""
    summary: str
    """What the student learns from, in one sentence."""
    paper: str = ""
    """Who published it, and where."""
    needs_teacher: bool = True
    needs_student: bool = True
    """False where the outcome is an evaluation of the teacher alone."""
    reprograms: bool = False
    """Whether stage 1 builds a proxy space; the others learn from the teacher's linear probe, or from labels."""
    needs_taps: bool = False
    """Whether the student learns from the teacher's features themselves."""
    starts_pretrained: bool = False
    """Whether the student always starts from its own pretrained weights."""
    starts_random: bool = False
    """Whether it starts from random weights although there may be pretrained ones, unless the job asks for these."""
    reads: tuple[str, ...] = ()
    """The options of `DistillConfig`, of those that not every method reads, which this one reads."""
    options: Mapping[str, Any] = {}
    """The method's own options, in `distill` too: JSON Schema by name."""

    @property
    def learns_unlabelled(self) -> bool:
        """Whether images without a label teach the student; who learns from labels alone would only lose image steps
        to them."""
        return "use_unlabelled" in self.reads

    @cached_property
    def _own(self) -> type[Frozen]:
        fields: dict[str, Any] = {
            name: (
                _TYPES[schema["type"]],
                Field(default=schema["default"], **{_BOUNDS[key]: schema[key] for key in _BOUNDS.keys() & schema}),
            )
            for name, schema in self.options.items()
        }
        return create_model("OwnOptions", __base__=_Made, **fields)

    def check(self, own: Mapping[str, Any]) -> None:
        """
        Raises:
            ValidationError: one of these options is not the method's own, or out of its bounds.
        """
        self._own.model_validate(own)


def learn(infos: Iterable[MethodInfo]) -> None:
    """Let this process know these methods; called with what a worker has announced, and by the training itself."""
    METHODS.update({info.name: info for info in infos})


def _released() -> dict[str, MethodInfo]:
    return {row["name"]: MethodInfo(**row) for row in json.loads(RELEASED.read_bytes())}


METHODS = _released()
"""All that this process knows, by name."""


STORED = {"stored": True}
"""The validation context of a spec that was accepted before, maybe by another process which knew its method."""


def find_method(name: str) -> MethodInfo:
    """What is known of a method; of one that this process has not heard of, that it is like most."""
    return METHODS.get(name) or MethodInfo(name=name, summary="")


def _known(name: str, info: ValidationInfo) -> str:
    if name not in METHODS and info.context != STORED:
        raise ValueError(f"No worker offers a method named '{name}'; there are {', '.join(METHODS)}.")
    return name


MethodName = Annotated[str, Field(examples=list(METHODS)), AfterValidator(_known)]
"""The name of a method that a worker offers; the examples are those of this release."""
