"""Bytes to text, whatever saved them."""

import re
from typing import NamedTuple

from app.domain.errors import DatasetRejected
from app.reading.encodings import guess

_SAMPLE = 2**16
_COMMON = [
    "cp1252",
    "gb18030",
    "cp932",
    "big5",
    "cp949",
    "euc_jp",
    "cp1251",
    "cp1250",
    "cp1253",
    "cp1254",
    "cp866",
    "koi8_r",
]
_SURE = 0.6
_WIDE = 0.8
"""Of the characters, from which on they are taken for Latin letters of two bytes."""


class Text(NamedTuple):
    """A decoded file."""

    text: str
    note: str | None
    """How it was decoded, where that was a guess."""


def decode(name: str, data: bytes, encoding: str | None = None) -> Text | None:
    """Text in UTF-8, in UTF-16 with a byte order mark, or else in what it looks like; None where it is no text.

    Args:
        name: of the file, for messages.
        data: all of it.
        encoding: as its owner says; used where the file is not UTF-8.

    Raises:
        DatasetRejected: it is not in the encoding that was named.
    """
    try:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return Text(data.decode("utf-16"), None)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _guessed(name, data, encoding)
    return _wide(name, data) if "\x00" in text[:_SAMPLE] else Text(text, None)


def known_encoding(name: str) -> str | None:
    """Python's name of an encoding of text; None where there is none of that name."""
    try:
        found = "".encode(name) is not None and name
        b"a".decode(name)
    except (LookupError, ValueError, TypeError):
        return None
    return found or None


def _wide(name: str, data: bytes) -> Text | None:
    """UTF-16 without a byte order mark: of most characters one byte is zero, always the first or always the second."""
    zeros = [data[place:_SAMPLE:2].count(0) for place in (0, 1)]
    pairs = len(data[:_SAMPLE]) // 2
    guessed = "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    if len(data) % 2 or max(zeros) < _WIDE * pairs or min(zeros) > (1 - _WIDE) * pairs:
        return None
    try:
        text = data.decode(guessed)
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text[:_SAMPLE] else Text(text, f"{name} has no byte order mark; it was read as {guessed}.")


def _guessed(name: str, data: bytes, encoding: str | None) -> Text | None:
    if b"\x00" in data[:_SAMPLE]:
        return _wide(name, data)
    if encoding is not None:
        try:
            return Text(data.decode(encoding), f"{name} was read as {encoding}, as you say.")
        except UnicodeDecodeError:
            raise DatasetRejected(
                f"{name} is neither UTF-8 nor {encoding}.", hint="Name its `encoding`, or save it as “CSV UTF-8”."
            ) from None
    lines = b"\n".join(line for line in data[: 16 * _SAMPLE].splitlines() if not line.isascii())[:_SAMPLE]
    words = re.findall(rb"[A-Za-z\x80-\xff]*[\x80-\xff][A-Za-z\x80-\xff]*", lines)[:2_000]
    scored = guess(words)
    best = None
    if scored is None or scored.score <= _SURE:
        from charset_normalizer import from_bytes  # noqa: PLC0415  a training reads such names never

        best = from_bytes(lines, cp_isolation=_COMMON).best()
    likely = [best.encoding] if best is not None else []
    likely += [scored.encoding] if scored is not None else []
    for guessed in (*likely, "cp1252", "latin-1"):
        try:
            text = data.decode(guessed)
        except UnicodeDecodeError:
            continue
        some = next(
            (word for word in re.findall(r"[^\W\d_]+", lines.decode(guessed, "replace")) if not word.isascii()), ""
        )
        shown = f": {some!r}" if some else ""
        return Text(
            text, f"{name} is not UTF-8; it was read as {guessed}{shown}. If that is wrong, say its `encoding`."
        )
    return None
