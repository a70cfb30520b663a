"""Conditional and ranged requests (RFC 9110)."""

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"(\d*)-(\d*)", re.ASCII)
MAX_RANGES = 8


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` to `end`, the last one included."""

    start: int
    end: int


class RangeNotSatisfiable(ValueError):
    """No byte of the file is asked for."""


def matches(condition: str | None, etag: str) -> bool:
    """Whether an If-None-Match names this ETag; compared weakly, as the RFC asks."""
    if condition is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in condition.split(",")]
    return "*" in tags or etag.removeprefix("W/") in tags


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The one range asked for in a file of `size` bytes. None: send all of it, which is the answer to a header that
    makes no sense and to one that asks for several ranges.

    Raises:
        RangeNotSatisfiable: if the range lies behind the end, or there are more ranges than any reader needs.
    """
    if header is None or not header.lower().startswith("bytes="):
        return None
    ranges = header[len("bytes=") :].split(",")
    if len(ranges) > MAX_RANGES:
        raise RangeNotSatisfiable
    match = _ONE_RANGE.fullmatch(ranges[0].strip())
    if len(ranges) > 1 or match is None or match[0] == "-" or max(map(len, match.groups())) > 18:
        return None
    first, last = match.groups()
    if not first:  # the last N bytes
        start, end = max(0, size - int(last)), size - 1
    else:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
    if start > end or start >= size:
        raise RangeNotSatisfiable
    return ByteRange(start, end)
