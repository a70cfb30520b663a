"""Which import is next: archives that are there before those that are still to be fetched, and of these the tenants in
turn.

A download lasts as long as the server at the other end likes, within the limits of the settings, and holds its import
worker meanwhile. So a tenant may have only so many at a time, and what needs none goes first.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class WaitingImport(NamedTuple):
    """A data set that no worker has taken."""

    id: str
    tenant: str
    is_download: bool
    """Its archive is still to be fetched."""


def order_imports(
    waiting: Iterable[WaitingImport], running: Mapping[str, int], turns: Mapping[str, int], most: int
) -> list[WaitingImport]:
    """Those that a worker may take, the next one first.

    Args:
        waiting: oldest first.
        running: downloads that are under way, by tenant.
        turns: when each tenant last began a download; a tenant that never did is not in it.
        most: downloads that a tenant may have under way; 0: any number.
    """
    rounds: dict[str, int] = defaultdict(int, running)
    archives, downloads = [], []
    for one in waiting:
        if not one.is_download:
            archives.append(one)
            continue
        rounds[one.tenant] += 1
        if not most or rounds[one.tenant] <= most:
            downloads.append((rounds[one.tenant], turns.get(one.tenant, 0), one.id, one))
    return archives + [one for *_, one in sorted(downloads)]
