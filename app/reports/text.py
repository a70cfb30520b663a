"""Words of others, made safe to show, and figures as people read them."""

import re

from markupsafe import Markup, escape

LONGEST_PATH = 240
"""Characters of a path that are shown: a page has hundreds, and an archive may give each 4,096 bytes."""
_CODE = re.compile(r"`([^`]+)`")
_QUOTED = re.compile(r"(?<=')([^']*/[^']*)(?=')")


def visible(text: str) -> str:
    """With control and direction characters written out: a name must not rearrange the page around it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(path: str) -> str:
    """Without its middle where it is long: the folder at its start and the name at its end tell most."""
    half = LONGEST_PATH // 2
    return path if len(path) <= LONGEST_PATH else f"{path[:half]}…{path[-half:]}"


def path(path: str) -> Markup:
    """Each part for itself, so that one in a script from right to left does not turn the order of the others."""
    return Markup("/<wbr>").join(Markup("<bdi>{}</bdi>").format(visible(part)) for part in shortened(path).split("/"))


def sentence(text: str) -> Markup:
    """Plain words, with what is quoted in them taken for paths, and what stands between backticks for names."""
    parts = _CODE.split(visible(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(path(part)) if number % 2 else _plain(part)
        for number, part in enumerate(parts)
    )


def _plain(text: str) -> Markup:
    parts = _QUOTED.split(text)
    return Markup("").join(path(part) if number % 2 else escape(part) for number, part in enumerate(parts))


def size(size: int) -> str:
    """`12.3 MB`; a megabyte is 10⁶ bytes."""
    for unit, bytes_ in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= bytes_:
            return f"{size / bytes_:.1f} {unit}"
    return f"{size} bytes"


def number(value: float) -> str:
    """With commas: `12,345`."""
    return f"{value:,}"
