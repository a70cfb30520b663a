"""What all readers share: the listing, the index of its images, and texts and JSON documents, each decoded once."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from app.reading.folders import folder_readings
from app.reading.listing import Listing, suffix_of
from app.reading.paths.matching import PathIndex
from app.reading.reading import Reading
from app.reading.tables.table import MAX_JSON_BYTES
from app.reading.text import Text, decode

MOST_FILES = 1_000


@dataclass
class Context:
    """One archive, and what its owner says about it."""

    listing: Listing
    labels_column: str | None = None
    encoding: str | None = None
    unlabelled_classes: frozenset[str] = frozenset()
    """Folded: classes that mean no label."""
    max_lines: int | None = None
    ignored: dict[str, str] = field(default_factory=dict)
    """Files that could have told something and were not used, each with the reason."""
    listed_splits: dict[str, frozenset[str]] = field(default_factory=dict)
    """Files that list the images of a split."""
    broken: list[str] = field(default_factory=list)
    """Formats whose reader met something that it does not know."""
    _texts: dict[str, Text | None] = field(default_factory=dict)
    _documents: dict[str, object] = field(default_factory=dict)

    @cached_property
    def index(self) -> PathIndex:
        return PathIndex(self.listing.images, self.listing.addresses)

    @cached_property
    def folders(self) -> list[Reading]:
        """What the folders say, the likeliest first."""
        return folder_readings(self.listing, self.unlabelled_classes)

    @cached_property
    def shallow(self) -> list[str]:
        """The texts nearest to the top: labels of a whole data set are in few files; an archive may hold a million."""
        files = sorted(self.listing.texts, key=lambda file: (file.count("/"), file))
        return files[:MOST_FILES]

    def ignore(self, file: str, reason: str) -> None:
        self.ignored.setdefault(file, reason)

    def text(self, file: str) -> str | None:
        """None where it is no text.

        Raises:
            DatasetRejected: it is not in the encoding that was named.
        """
        if file not in self._texts:
            self._texts[file] = decode(file, self.listing.texts[file], self.encoding)
        found = self._texts[file]
        return None if found is None else found.text

    def notes(self, files: Iterable[str]) -> list[str]:
        """How files were decoded, where that was a guess."""
        decoded = (self._texts.get(file) for file in sorted(files))
        return [text.note for text in decoded if text is not None and text.note is not None]

    def documents(self) -> Iterable[tuple[str, object]]:
        """All JSON files that can be read, with what stands in them."""
        for file in self.shallow:
            if suffix_of(file) == ".json":
                document = self.document(file)
                if document is not None:
                    yield file, document

    def document(self, file: str) -> object:
        if file not in self._documents:
            self._documents[file] = self._parsed(file)
        return self._documents[file]

    def _parsed(self, file: str) -> object:
        if len(self.listing.texts[file]) > MAX_JSON_BYTES:
            self.ignore(file, f"more than {MAX_JSON_BYTES:,} bytes of JSON; send its labels as a labels.csv")
            return None
        try:
            text = self.text(file)
            return None if text is None else json.loads(text)
        except (ValueError, RecursionError):
            self.ignore(file, "not well-formed JSON")
            return None
