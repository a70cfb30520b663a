"""Blobs that no row names: what processes that were killed, and transactions that failed, have left in the storage.

Why nothing goes that is still to be named:

- A key that no row names can be named only by whoever has just written it: others share a key by locking a row that
  names it.
- That is a worker, whose job or import has not ended: everything of those is left alone. The state is read before the
  names, so what ends in between is seen with its names.
- Or it is a request that uploads an archive, whose data set has no row yet. No request lives longer than
  `request_hours`, and what is younger than twice that, or than a day, is left alone. Age is told by the storage's own
  clock, so a host whose clock is wrong deletes nothing.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.db.engine import Store
from app.db.queries import orphans as queries
from app.settings import Settings
from app.storage.blobs import Blobs, Stored
from app.storage.keys import ROOTS, preview_key

_AT_ONCE = 200
"""Objects that are looked up together."""
_OBJECT = re.compile(r"[a-z]+/\.?((?:ds|job)_[0-9A-HJKMNP-TV-Z]{26})")
"""The id in a key; a file that was being written begins with a dot."""


class Found(NamedTuple):
    """What a search has come upon."""

    orphans: Sequence[Stored]
    named: int
    """Blobs that are named, or may yet be."""


def safe_age(settings: Settings) -> timedelta:
    """Older than any blob whose row is still to be committed."""
    return max(timedelta(days=1), 2 * timedelta(hours=settings.request_hours))


def find(store: Store, blobs: Blobs, age: timedelta) -> Iterator[Found]:
    """Some objects' blobs at a time; what is no blob of ours is passed over."""
    cutoff = blobs.now() - age.total_seconds()
    for root in ROOTS:
        names = iter(blobs.names(root))
        while some := list(islice(names, _AT_ONCE)):
            listed = [blob for name in some for blob in blobs.below(f"{root}/{name}") if _OBJECT.match(blob.key)]
            with store.read() as session:
                needed = _needed(session, listed)
            rest = [blob for blob in listed if blob.key not in needed]
            old = [blob for blob in rest if blob.changed is not None and blob.changed < cutoff]
            yield Found(old, len(listed) - len(old))


def is_unused(session: Session) -> bool:
    """Whether the database holds no job and no data set, as one does that has nothing to do with the storage."""
    return queries.names_nothing(session)


def remove(blobs: Blobs, orphans: Sequence[Stored]) -> None:
    for blob in orphans:
        blobs.delete(blob.key)


def _needed(session: Session, listed: Sequence[Stored]) -> set[str]:
    """The keys that a row names or may yet name."""
    of_object: dict[str, list[str]] = {}
    for blob in listed:
        if match := _OBJECT.match(blob.key):
            of_object.setdefault(match[1], []).append(blob.key)
    keys = [blob.key for blob in listed]
    working = queries.unfinished(session, list(of_object))  # first: see above
    named = queries.named(session, list(of_object), keys)
    return {
        *named,
        *(preview_key(key) for key in named if key.endswith("/prepared.zip")),
        *(key for object_id in working for key in of_object[object_id]),
    }
