"""Ids that say what they name and sort by time: a prefix and a ULID, `job_01J…`."""

import re
from datetime import datetime

from ulid import ULID

_FORM = re.compile(r"[a-z]{2,6}_[0-9A-HJKMNP-TV-Z]{26}")


def new_id(prefix: str) -> str:
    """A fresh id; `prefix` is `ds`, `job`, `key`, `aud`, `req`, `ses`, `upl`, `wk`, `wh`, `evt`, `dlv`."""
    return f"{prefix}_{ULID()}"


def id_at(prefix: str, at: datetime) -> str:
    """An id as it would have been made at this time: those made earlier sort before it."""
    return f"{prefix}_{ULID.from_datetime(at)}"


def is_id(value: str, prefix: str) -> bool:
    """Whether `value` could be an id of this kind at all."""
    return value.startswith(f"{prefix}_") and _FORM.fullmatch(value) is not None
