"""Server-sent events, from bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """One event."""

    event: str
    data: str
    id: str


class Frames:
    """Takes the bytes as they come and gives the events that they complete.

    Lines end with \\n or \\r\\n and with nothing else: `str.splitlines` would also split a message at U+2028.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, list[str]] = {}

    def feed(self, received: bytes) -> Iterator[Frame]:
        *lines, self._rest = (self._rest + received).split(b"\n")
        for line in lines:
            text = line.removesuffix(b"\r").decode(errors="replace")
            if text:
                name, _, value = text.partition(":")
                self._fields.setdefault(name, []).append(value.removeprefix(" "))
            else:
                fields, self._fields = self._fields, {}
                if "data" in fields:
                    yield Frame(
                        fields.get("event", ["message"])[-1], "\n".join(fields["data"]), fields.get("id", [""])[-1]
                    )
