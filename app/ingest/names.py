"""The names in an archive: checked, made alike, and never used on a disk."""

import re
import unicodedata

from app.domain.errors import DatasetRejected

MAX_COMPONENT_BYTES = 255
"""What common file systems allow."""
MAX_PATH_BYTES = 4096

_ICON = re.compile(r"(^|[/\\])(\._)?Icon\r$")
"""What macOS calls the picture of a folder, and in archives its twin with attributes."""

_HINT = "Pack the folder again with a common tool, from inside the folder, with plain relative names."


def rejected(name: str, fact: str, hint: str = _HINT) -> DatasetRejected:
    """The rejection that names an entry, e.g. `rejected("../x", "points outside")`."""
    return DatasetRejected(f"The entry {shown(name)} {fact}.", hint=hint)


def shown(name: str) -> str:
    """A name as it can be printed anywhere: quoted, control and direction characters escaped, cut at 200 characters."""
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name[:200])
    return f"'{escaped}{'…' if len(name) > 200 else ''}'"


class NameCheck:
    """Checks one archive's names one by one, and gives each file a path of its own: in NFC, with forward slashes,
    without outer spaces. Names that some file system would take for one are two here, since nothing is extracted."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[str, object]] = {}

    def folder(self, name: str) -> str:
        """Its path, without a slash at the end.

        Raises:
            DatasetRejected: the name is not safe.
        """
        return "/".join(_checked(name))

    def file(self, name: str, content: object = None) -> str | None:
        """Its path; None where the same file is there twice.

        Args:
            name: as the archive tells it.
            content: what identifies its bytes, where the archive tells that.

        Raises:
            DatasetRejected: the name is not safe, or is there twice with other bytes.
        """
        parts = _checked(name)
        if not parts:
            raise rejected(name, "has no name")
        path = "/".join(parts)
        before = self._files.get(path)
        if before is not None:
            if _same_name(before[0], name):
                if content is not None and before[1] == content:
                    return None
                raise rejected(name, "is there twice", "Keep one of them: which one is meant cannot be told.")
            path = self._free(path)
        self._files[path] = name, content
        return path

    def _free(self, path: str) -> str:
        """Beside a twin whose name differs only by how accents are encoded, or by outer spaces."""
        stem, dot, suffix = path.rpartition(".")
        if not dot or "/" in suffix:
            stem, dot, suffix = path, "", ""
        number = 2
        while f"{stem} ({number}){dot}{suffix}" in self._files:
            number += 1
        return f"{stem} ({number}){dot}{suffix}"


def _same_name(one: str, other: str) -> bool:
    return _split(one) == _split(other)


def _split(name: str) -> list[str]:
    return [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]


def _checked(name: str) -> list[str]:
    name = _ICON.sub(r"\1.\2Icon", name)  # hidden there, so hidden here: it is junk
    if not name.isprintable() and any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        raise rejected(name, "has control characters or undecodable bytes in its name")
    plain = name.replace("\\", "/")  # Windows' separator
    if plain.startswith("/") or re.match(r"[A-Za-z]:/", plain):
        raise rejected(name, "has an absolute path")
    parts = [part for part in map(_tidied, plain.split("/")) if part not in ("", ".")]
    if ".." in parts:
        raise rejected(name, "points outside the archive")
    if len(name.encode()) > MAX_PATH_BYTES or any(len(part.encode()) > MAX_COMPONENT_BYTES for part in parts):
        raise rejected(name, f"has a name of more than {MAX_COMPONENT_BYTES} bytes", "Shorten it.")
    return parts


def _tidied(part: str) -> str:
    return part.strip() if part.isascii() else unicodedata.normalize("NFC", part).strip()
