"""What workers have measured, and what jobs have told while they ran."""

from collections.abc import Iterable, Sequence
from typing import Any

from cachetools import LRUCache
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.models import Speed
from app.db.queries import speeds as queries
from app.domain.speeds import KEPT_SAMPLES, Known, Sample, Speeds
from app.services import catalog


def known(session: Session, machine: str) -> list[Known]:
    """Of one kind of machine."""
    return [
        Known(row.work, row.subject, row.size, row.how, tuple(row.amounts), row.of_jobs)
        for row in queries.list_speeds(session, machine)
    ]


_SPEEDS: LRUCache[Any, Speeds] = LRUCache(64)


def of_machine(session: Session, machine: str, offer: catalog.Offer) -> Speeds:
    """All that is known of a kind of machine. Read again once something was learned, or other networks are offered."""
    key = (str(session.get_bind().engine.url), machine, queries.stamp(session), id(offer))
    found = _SPEEDS.get(key)
    if found is None:
        found = _SPEEDS[key] = Speeds(known(session, machine), _Arithmetic(offer))
    return found


class _Arithmetic:
    """Of networks: multiply-adds where the catalogue has them, else what parameters and pixels say of it; without a
    size their parameters."""

    def __init__(self, offer: catalog.Offer) -> None:
        self._offer = offer  # held, so that its id stays its own
        self._counted = any(card.multiply_adds for card in offer.students.values())

    def __call__(self, architecture: str, size: int) -> float | None:
        card = self._offer.students.get(architecture)
        if card is None:
            return None
        if not size:
            return float(card.parameters)
        if not self._counted:
            return float(card.parameters) * size**2
        if not card.multiply_adds or not card.input_size:
            return None
        return card.multiply_adds * (size / card.input_size) ** 2


def learn(session: Session, machine: str, samples: Iterable[Sample], *, of_jobs: bool) -> None:
    """Add to what is known. What jobs tell takes the place of what was measured in idle time, and never the other way
    round."""
    for sample in sorted(samples, key=_key):  # in one order, so that two workers do not wait for each other
        key = (machine, *_key(sample))
        row = queries.get_speed(session, key)
        if row is None:
            row = _add(session, key, of_jobs=of_jobs)
        if row.of_jobs and not of_jobs:
            continue
        before: Sequence[float] = row.amounts if row.of_jobs == of_jobs else ()
        row.amounts, row.of_jobs = [*before, sample.amount][-KEPT_SAMPLES:], of_jobs
        session.flush()


def _key(sample: Sample) -> tuple[str, str, int, str]:
    return str(sample.work), sample.subject, sample.size, sample.how


def _add(session: Session, key: tuple[str, str, str, int, str], *, of_jobs: bool) -> Speed:
    machine, work, subject, size, how = key
    row = Speed(machine=machine, work=work, subject=subject, size=size, how=how, amounts=[], of_jobs=of_jobs)
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:  # another worker of this kind was faster
        found = queries.get_speed(session, key)
        assert found is not None, "the unique constraint that failed names this row"
        return found
    return row
