"""`service.json` in the home folder: where the service listens, for clients on the same machine."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.domain.files import replaced_atomically
from app.settings import Settings


def service_file(settings: Settings) -> Path:
    return settings.root / "service.json"


@contextmanager
def announced(settings: Settings, url: str, pid: int) -> Iterator[None]:
    """The file is there inside the block."""
    path = service_file(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced_atomically(path) as temporary:
        temporary.write_text(json.dumps({"url": url, "pid": pid}) + "\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def read_url(settings: Settings) -> str | None:
    """Where the service listens, or None if it does not say so (yet)."""
    try:
        return str(json.loads(service_file(settings).read_bytes())["url"])
    except FileNotFoundError:
        return None
