"""What an upload has to remember, so that another process can go on with it."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path

from tdmr._config import Config, cache_folder
from tdmr._sources import Source

TUS = {"Tus-Resumable": "1.0.0"}
OFFSET_TYPE = "application/offset+octet-stream"
PIECE_BYTES = 64 * 2**20
"""One request carries so much. A service keeps what arrived of an interrupted one, so this only bounds its length."""


@dataclass(frozen=True)
class Memory:
    """A small file in the user's cache that names the upload of one source to one service."""

    path: Path

    @classmethod
    def of(cls, config: Config, source: Source) -> Memory:
        return cls(cache_folder() / "uploads" / f"{config.account}-{source.fingerprint[:32]}.json")

    def recall(self) -> str | None:
        """The upload's id."""
        try:
            return str(json.loads(self.path.read_text())["upload_id"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def note(self, upload_id: str) -> None:
        """A cache that cannot be written only means that no other process can go on."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.path.with_suffix(f".{os.getpid()}")
            temporary.write_text(json.dumps({"upload_id": upload_id}))
            temporary.replace(self.path)
        except OSError:
            return

    def forget(self) -> None:
        try:
            self.path.unlink(missing_ok=True)
        except OSError:
            return


def metadata(name: str) -> str:
    return f"filename {base64.b64encode(name.encode()).decode()}"
