"""A web server that has an archive: with parts and without, breaking off, changing, slow, or lying."""

import re
from dataclasses import dataclass, field

from tests.receiving import Behaviour, Handler


@dataclass
class Archive:
    """Answers GET with its content, as a file server does."""

    content: bytes
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    """Whether it gives parts."""
    minds: bool = True
    """Whether it minds If-Range, which some caches do not."""
    says_length: bool = True
    breaks: list[int] = field(default_factory=list)
    """After so many bytes the next answers end."""
    pause: float = 0.0
    """Seconds before each piece of 4 KiB."""
    media_type: str = "application/zip"
    asked: list[str | None] = field(default_factory=list)
    """The ranges of the requests."""

    def __call__(self, handler: Handler) -> None:
        self.asked.append(handler.headers.get("Range"))
        start = self._start(handler)
        rest = self.content[start:]
        handler.send_response(206 if start else 200)
        if self.etag is not None:
            handler.send_header("ETag", self.etag)
        if self.modified is not None:
            handler.send_header("Last-Modified", self.modified)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        if self.says_length:
            handler.send_header("Content-Length", str(len(rest)))
        handler.send_header("Content-Type", self.media_type)
        handler.send_header("Connection", "close")
        handler.end_headers()
        if self.breaks:
            rest = rest[: self.breaks.pop(0)]
        for at in range(0, len(rest), 4096):
            if self.pause and handler.receiver.released.wait(self.pause):
                return
            handler.wfile.write(rest[at : at + 4096])
        handler.wfile.flush()

    def _start(self, handler: Handler) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        condition = handler.headers.get("If-Range")
        if asked is None or not self.ranges or (self.minds and condition not in {self.etag, self.modified}):
            return 0
        return int(asked[1])


def hangs_after(content: bytes, count: int) -> "Archive":
    """Sends so many bytes, and then nothing more, each time."""
    return _Hanging(content, breaks=[count] * 100)


@dataclass
class _Hanging(Archive):
    def __call__(self, handler: Handler) -> None:
        super().__call__(handler)
        handler.receiver.released.wait(60)


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Each for one request."""
    left = iter(behaviours)

    def behave(handler: Handler) -> None:
        next(left)(handler)

    return behave
