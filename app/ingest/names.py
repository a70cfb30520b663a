"""The names in an archive: checked, never used on a disk."""

import re
import unicodedata

from app.domain.errors import DatasetRejected

MAX_COMPONENT_BYTES = 255
"""What common file systems allow."""
MAX_PATH_BYTES = 4096

_HINT = "Pack the folder again with a common tool, from inside the folder, with plain relative names."


def rejected(name: str, fact: str, hint: str = _HINT) -> DatasetRejected:
    """The rejection that names an entry, e.g. `rejected("../x", "points outside")`."""
    return DatasetRejected(f"The entry {shown(name)} {fact}.", hint=hint)


def shown(name: str) -> str:
    """A name as it can be printed anywhere: quoted, control and direction characters escaped, cut at 200 characters."""
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name[:200])
    return f"'{escaped}{'…' if len(name) > 200 else ''}'"


class NameCheck:
    """Checks one archive's names one by one, and against each other."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._spelling: dict[str, str] = {}

    def folder(self, name: str) -> None:
        """
        Raises:
            DatasetRejected: the name is not safe, or collides.
        """
        self._claim(_checked(name))

    def file(self, name: str) -> str:
        """The name without `.` and empty components.

        Raises:
            DatasetRejected: the name is not safe, is there twice, or collides.
        """
        parts = _checked(name)
        if not parts:
            raise rejected(name, "has no name")
        path = "/".join(parts)
        if path in self._files:
            raise rejected(name, "is there twice", "Keep one of them: which one is meant cannot be told.")
        self._files.add(path)
        self._claim(parts)
        return path

    def _claim(self, parts: list[str]) -> None:
        """Two spellings that some file system would take for the same name make an archive ambiguous."""
        for end in range(1, len(parts) + 1):
            path = "/".join(parts[:end])
            other = self._spelling.setdefault(unicodedata.normalize("NFC", path).lower(), path)
            if other != path:
                raise rejected(
                    path,
                    f"differs from {shown(other)} only by letter case or by how accents are encoded",
                    "Rename one of them.",
                )


def _checked(name: str) -> list[str]:
    if not name.isprintable() and any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        raise rejected(name, "has control characters or undecodable bytes in its name")
    if "\\" in name:
        raise rejected(name, "has a backslash in its name")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise rejected(name, "has an absolute path")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise rejected(name, "points outside the archive")
    if len(name.encode()) > MAX_PATH_BYTES or any(len(part.encode()) > MAX_COMPONENT_BYTES for part in parts):
        raise rejected(name, f"has a name of more than {MAX_COMPONENT_BYTES} bytes", "Shorten it.")
    return parts
