"""Tables of the addresses that images are fetched from: how one is told from an archive, and what is made of it."""

import re

from pydantic import Field

from app.domain.base import Frozen

HEAD_BYTES = 2**16
"""Of a file, by which such a table is known."""
TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
ADDRESSES_NAME = "addresses.jsonl"
"""Among what the import's process has written: one `Address` a line, before any is fetched."""
NOTES_NAME = "tdmr-addresses.jsonl"
"""In the archive that is made of the images: one `Address` a line."""
TABLE = "-table"
"""Ends the storage key of a file that may be such a table: its images are still to be fetched."""
_ADDRESS = re.compile(r"\b(https?|s3)://", re.IGNORECASE)
_OTHERS = ("<", "{", "[", "version https://git-lfs")
"""What pages, JSON documents and Git LFS pointers begin with, which hold addresses too."""


class Address(Frozen):
    """One address of a table."""

    cell: str
    """As it stands in the table."""
    path: str = Field(min_length=1)
    """Of its image, in the archive that is made of them."""
    lost: str | None = None
    """Why it could not be fetched, in words that hold for every such address."""


def may_hold_addresses(head: bytes) -> bool:
    """Whether a file that begins with `head`, up to HEAD_BYTES of it, is text in which addresses stand."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head.decode("utf-16", "ignore")
    elif any(byte < 9 or 13 < byte < 32 for byte in head):
        return False
    else:
        text = head.decode("utf-8", "ignore")
    text = text.lstrip("\ufeff \t\r\n")
    return not text.startswith(_OTHERS) and _ADDRESS.search(text) is not None


def table_name(name: str) -> str:
    """What the table is called in the archive that is made of it, after the name of its data set."""
    last = name.replace("\\", "/").rpartition("/")[2].strip()
    plain = last.isprintable() and not last.startswith(".") and len(last.encode()) <= 200
    return last if plain and last.lower().endswith(TABLE_SUFFIXES) else "urls.csv"
