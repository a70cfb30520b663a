"""Who is next: priority, then the tenants in turn, then age; at the end those that their tenants' running jobs hold up.

In each round every tenant has one job, its oldest; who had no turn for longest goes first, and among those that never
had one the tenant of the oldest job. Places behind the first are a forecast: they hold if nothing is added. Turns are
counted for each priority by itself, or a claim of a high one would undo the forecast for those below.

All of it follows from a few numbers for each tenant and priority, however long the queue is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class QueuePosition(NamedTuple):
    """Where a queued job stands."""

    position: int
    """1 runs next."""
    held: bool
    """Its tenant runs as many jobs as it may: it waits for one of those, however long the queue is."""


class Group(NamedTuple):
    """The queued jobs of one tenant and priority. The oldest is in round 1, the next in round 2, and so on."""

    priority: int
    tenant: str
    jobs: int
    oldest: str
    """Its id."""
    turn: int
    """When the tenant last had its turn at this priority, counted over all tenants; 0: never."""
    free: int
    """How many of them, the oldest, the tenant's limit lets run."""

    @property
    def precedence(self) -> tuple[int, str]:
        """Among the groups of one priority, within a round: less is earlier."""
        return self.turn, self.oldest


@dataclass(frozen=True, slots=True)
class QueueOrder:
    """All that wait."""

    groups: Mapping[tuple[int, str], Group]
    """By priority and tenant."""

    @classmethod
    def from_groups(cls, groups: Iterable[Group], slots_left: Mapping[str, int]) -> "QueueOrder":
        """`slots_left`: how many more jobs a tenant may run; who is not in it may run any number. What the groups say
        of `free` is not read."""
        left, allowed = dict(slots_left), {}
        for group in sorted(groups, key=lambda group: -group.priority):
            free = min(group.jobs, max(0, left.get(group.tenant, group.jobs)))
            if group.tenant in left:
                left[group.tenant] -= free
            allowed[group.priority, group.tenant] = group._replace(free=free)
        return cls(allowed)

    @property
    def first(self) -> str | None:
        """The id of the job that runs next; None if none may."""
        able = [group for group in self.groups.values() if group.free > 0]
        return min(able, key=lambda group: (-group.priority, group.precedence)).oldest if able else None

    def place(self, priority: int, tenant: str, round_: int) -> QueuePosition | None:
        """Of the job in this round of its group; None if there is no such group."""
        mine = self.groups.get((priority, tenant))
        if mine is None:
            return None
        held, ahead = round_ > mine.free, 0
        for group in self.groups.values():
            # of the rounds low + 1 .. high, held or not as the job is
            low, high = (group.free, group.jobs) if held else (0, group.free)
            if held:
                ahead += group.free
            if group.priority > priority:
                ahead += high - low
            elif group.priority == priority:
                ahead += max(0, min(high, round_ - 1) - low)
                ahead += low < round_ <= high and group.precedence < mine.precedence
        return QueuePosition(ahead + 1, held)

    def order(self, jobs: Iterable[tuple[str, int, str]]) -> Sequence[str]:
        """Ids of those that may run, the next one first.

        Args:
            jobs: id, priority and tenant of all that wait, the oldest first.
        """
        rounds: dict[tuple[int, str], int] = {}
        able = []
        for job_id, priority, tenant in jobs:
            group = self.groups.get((priority, tenant))
            round_ = rounds[priority, tenant] = rounds.get((priority, tenant), 0) + 1
            if group is not None and round_ <= group.free:
                able.append((-priority, round_, group.precedence, job_id))
        return [job_id for *_, job_id in sorted(able)]
