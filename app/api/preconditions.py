"""Conditional and ranged requests (RFC 9110)."""

import re
from dataclasses import dataclass

from app.domain.errors import RangeNotSatisfiable

_ONE_RANGE = re.compile(r"(\d*)-(\d*)", re.ASCII)
_TAGS = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
MAX_RANGES = 8


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` to `end`, the last one included."""

    start: int
    end: int


def matches(condition: str | None, etag: str) -> bool:
    """Whether an If-None-Match names this ETag; compared weakly, as the RFC asks. Several header lines are one list,
    joined by commas."""
    if condition is None:
        return False
    tags = [tag.removeprefix("W/") for tag in _TAGS.findall(condition)]
    return condition.strip() == "*" or etag.removeprefix("W/") in tags


def matches_strongly(condition: str, etag: str) -> bool:
    """Whether an If-Match names this ETag. A weak one on either side never does."""
    return condition.strip() == "*" or (is_strong(etag) and etag in _TAGS.findall(condition))


def is_strong(etag: str) -> bool:
    """Whether it stands for the same bytes, and not only for what is as good."""
    return not etag.startswith("W/")


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The one range asked for in a file of `size` bytes. None: send all of it, which is the answer to a header that
    makes no sense, to another unit and to one that asks for several ranges.

    Raises:
        RangeNotSatisfiable: if the range lies behind the end, or there are more ranges than any reader needs.
    """
    if header is None or not header.lower().startswith("bytes="):
        return None
    ranges = header[len("bytes=") :].split(",")
    if len(ranges) > MAX_RANGES:
        raise _not_satisfiable(size)
    match = _ONE_RANGE.fullmatch(ranges[0].strip())
    if len(ranges) > 1 or match is None or match[0] == "-" or max(map(len, match.groups())) > 18:
        return None
    first, last = match.groups()
    if not first:  # the last N bytes
        if size == 0 and int(last):
            return None  # can be satisfied, by nothing, for which Content-Range has no words
        start, end = max(0, size - int(last)), size - 1
    else:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
    if start > end or start >= size:
        raise _not_satisfiable(size)
    return ByteRange(start, end)


def _not_satisfiable(size: int) -> RangeNotSatisfiable:
    return RangeNotSatisfiable(f"The file has {size} bytes; ask for one range within it.", param="Range")
