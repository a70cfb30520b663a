"""Ids that say what they name and sort by time: a prefix and a ULID, `job_01J…`."""

import re

from ulid import ULID

_ID = r"[a-z]{2,6}_[0-9A-HJKMNP-TV-Z]{26}"
_FORM = re.compile(f"^{_ID}$")


def new_id(prefix: str) -> str:
    """A fresh id; `prefix` is `ds`, `job`, `key`, `aud`, `req`, `upl`, `wk`."""
    return f"{prefix}_{ULID()}"


def is_id(value: str, prefix: str) -> bool:
    """Whether `value` could be an id of this kind at all."""
    return value.startswith(f"{prefix}_") and _FORM.match(value) is not None


def find_id(path: str) -> str | None:
    """The last id in a URL's path; None if there is none."""
    found = [part for part in path.split("/") if re.fullmatch(_ID, part)]
    return found[-1] if found else None
