"""Unknown query parameters are refused: a mistyped filter would otherwise be no filter."""

from typing import NamedTuple

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute


class UnknownParameters(RequestValidationError):
    """The request names query parameters that its route does not have."""

    def __init__(self, unknown: list[str], known: list[str]) -> None:
        what = {"type": "unknown_parameter", "msg": "Unknown query parameter"}
        super().__init__([{**what, "loc": ("query", name)} for name in unknown])
        self.known = known


class _Known(NamedTuple):
    """The query parameters of a route."""

    names: list[str]
    maps: tuple[str, ...]
    """Those that are written `name[key]=value`."""

    def have(self, name: str) -> bool:
        return name in self.names or (name.endswith("]") and name.partition("[")[0] in self.maps)


async def require_known_query(request: Request) -> None:
    """
    Raises:
        UnknownParameters: if the route has no such query parameter.
    """
    if not request.scope["query_string"]:
        return
    known = _known(request.scope["route"])
    unknown = [name for name in request.query_params if not known.have(name)]
    if unknown:
        raise UnknownParameters(unknown, [*known.names, *(f"{name}[…]" for name in known.maps)])


_KNOWN: dict[int, tuple[APIRoute, _Known]] = {}
"""By the identity of the route, which has no hash and stays as long as it is here."""


def _known(route: APIRoute) -> _Known:
    found = _KNOWN.get(id(route))
    if found is None:
        found = _KNOWN[id(route)] = route, _declared(route)
    return found[1]


def _declared(route: APIRoute) -> _Known:
    extra = (route.openapi_extra or {}).get("parameters", ())
    maps = tuple(one["name"] for one in extra if one["in"] == "query" and one.get("style") == "deepObject")
    return _Known(sorted(set(_names(route.dependant))), maps)


def _names(dependant: Dependant) -> list[str]:
    inherited = [name for below in dependant.dependencies for name in _names(below)]
    return [field.alias for field in dependant.query_params] + inherited
