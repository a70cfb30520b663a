"""Checkpoints: whole or absent, never half. The newest two are kept; a damaged one is passed over."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from app.domain.failpoints import failpoint
from app.domain.files import replaced_atomically

KEEP = 2
_DIGEST_BYTES = 32


def save(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write `state` (tensors and plain values) as the checkpoint of `step`, SHA-256 first, and drop older ones."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    path = folder / f"{step:010d}.ckpt"
    with replaced_atomically(path) as temporary:
        temporary.write_bytes(hashlib.sha256(payload).digest() + payload)
        failpoint("checkpoint_written")
    failpoint("checkpoint_renamed")
    for old in _newest_first(folder)[KEEP:]:
        old.unlink(missing_ok=True)
    return path


def exists(folder: Path | None) -> bool:
    """Whether there is any, whole or damaged."""
    return folder is not None and bool(_newest_first(folder))


def load_newest(folder: Path, on_damaged: Callable[[str], None]) -> dict[str, Any] | None:
    """The newest whole checkpoint, or None. `on_damaged` is told the name of each that was passed over."""
    for path in _newest_first(folder):
        content = path.read_bytes()
        digest, payload = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(payload).digest() == digest:
            state: dict[str, Any] = torch.load(io.BytesIO(payload), weights_only=True, map_location="cpu")
            return state
        on_damaged(path.name)
    return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.ckpt"), reverse=True)
