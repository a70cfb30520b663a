"""A web server that has images, and a table of their addresses."""

import threading
from dataclasses import dataclass, field
from io import BytesIO

from PIL import Image

from tests.receiving import Handler


def picture(number: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (32, 32), (number * 9 % 256, 90, number % 7 * 30)).save(file, "PNG")
    return file.getvalue()


@dataclass
class ImageServer:
    """Answers `/images/7.png` with an image of that number, 404 for those that it lacks."""

    lacks: frozenset[int] = frozenset()
    hangs_at: frozenset[int] = frozenset()
    """Images that do not come before the receiver is released."""
    redirects: dict[int, str] = field(default_factory=dict)
    table: bytes = b""
    """Answered at `/urls.csv`."""
    asked: list[int] = field(default_factory=list)
    """The numbers of the images, in the order of the requests."""
    most_at_once: int = 0
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, handler: Handler) -> None:
        if handler.path.startswith("/urls.csv"):
            handler.reply(200, self.table, ETag='"table"', **{"Content-Type": "text/csv"})
            return
        number = int(handler.path.partition("?")[0].rpartition("/")[2].partition(".")[0])
        with self._lock:
            self.asked.append(number)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self._answer(handler, number)
        finally:
            with self._lock:
                self._at_once -= 1

    def _answer(self, handler: Handler, number: int) -> None:
        if number in self.hangs_at:
            handler.receiver.released.wait(60)
        if number in self.redirects:
            handler.reply(302, Location=self.redirects[number])
        elif number in self.lacks:
            handler.reply(404)
        else:
            handler.reply(200, picture(number), ETag=f'"{number}"')


def table_of(port: int, count: int, query: str = "") -> bytes:
    """Every other image is a cat."""
    rows = (f"http://127.0.0.1:{port}/images/{n}.png{query},{('cat', 'dog')[n % 2]}" for n in range(count))
    return "\n".join(["url,label", *rows, ""]).encode()
