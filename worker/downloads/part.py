"""What the sources of a download have in common."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel


class Mark(BaseModel):
    """By what the bytes at an address can be known again."""

    etag: str | None = None
    """Only a strong one: a weak one does not say that the bytes are equal."""
    modified: str | None = None
    """The header Last-Modified."""
    length: int | None = None
    """In bytes, where it was told."""

    @property
    def condition(self) -> str | None:
        """The header If-Range; None where nothing can tell whether the bytes are still the same."""
        return self.etag or self.modified


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes from `offset` on: where they were asked for, or 0 where it begins again."""

    offset: int
    mark: Mark
    pieces: Iterable[bytes]
    """Raises Interrupted."""


class Interrupted(Exception):
    """The bytes do not come, for a reason that may pass. The text says which, to whoever named the address."""

    def __init__(self, words: str, *, slow: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(words)
        self.words, self.slow = words, slow
        self.retry_after = retry_after
        """Seconds that the server asks for."""


class Replaced(Interrupted):
    """Something else lies at the address than before."""

    def __init__(self) -> None:
        super().__init__("Something else lies at the address than before.")


class Source(Protocol):
    """Where an archive lies."""

    def open(self, offset: int, mark: Mark | None, seconds: float) -> AbstractContextManager[Part]:
        """The bytes from `offset` on, if what lies there is still what `mark` was told of; else from its beginning.

        Args:
            seconds: that are left.

        Raises:
            Interrupted: it may go better in a moment.
            SourceUnavailable, DestinationRefused: it will not.
        """
        ...
