# Generated from _async by client/tools; not to be edited.
"""Lists that ask for their next page when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from tdmr._sync._transport import Transport

Item = TypeVar("Item")
_PAGE = 100


class Pages(Generic[Item]):
    """All items of a list, newest first unless it says otherwise. Each loop over it asks anew.

    Iterate over it; `first()` gives the first item alone.
    """

    def __init__(
        self,
        transport: Transport,
        path: str,
        build: Callable[[Mapping[str, Any]], Item],
        params: Mapping[str, Any],
        limit: int | None,
    ) -> None:
        self._transport, self._path, self._build, self._limit = transport, path, build, limit
        self._params = {name: value for name, value in params.items() if value is not None}

    def __iter__(self) -> Iterator[Item]:
        left, after = self._limit, None
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            params = {**self._params, "limit": size} | ({} if after is None else {"after": after})
            page = self._transport.json("GET", self._path, params=params)
            for data in page["data"]:
                yield self._build(data)
            left = None if left is None else left - len(page["data"])
            after = page["last_id"]
            if not page["has_more"]:
                return

    def first(self) -> Item | None:
        """The first item, None if there is none."""
        for item in Pages(self._transport, self._path, self._build, self._params, 1):
            return item
        return None

    def to_list(self) -> list[Item]:
        """All of them."""
        items = []
        for item in self:
            items.append(item)  # noqa: PERF401 (its twin is not synchronous)
        return items

    def __repr__(self) -> str:
        shown = "".join(f", {name}={value!r}" for name, value in self._params.items())
        return f"{type(self).__name__}({self._path!r}{shown})"
