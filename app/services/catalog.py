"""The catalogue: workers register what they can build; the service checks jobs against it without torch."""

import contextlib
import difflib
import hashlib
import json
import logging
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from cachetools import LRUCache
from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.ids import new_id
from app.db.models import CatalogRow, Worker, utcnow
from app.db.queries import catalogue as queries
from app.domain.catalog import Catalog, StudentCard, TeacherCard
from app.domain.errors import CatalogEmpty, UnknownStudent, UnknownTeacher
from app.domain.methods import MethodInfo, learn

Card = TypeVar("Card", TeacherCard, StudentCard)
log = logging.getLogger(__name__)


def register(
    session: Session,
    hostname: str,
    queue: str,
    device: str,
    catalog: Catalog | None,
    *,
    machine: str | None = None,
    memory_bytes: int | None = None,
) -> str:
    """Note that a worker runs and what it offers (None: it trains nothing), and give its id. Repeating it renews it."""
    if catalog is not None:
        learn(catalog.methods)
    sha256 = None if catalog is None else _store(session, catalog)
    worker = queries.get_worker(session, hostname, queue, device)
    if worker is None:
        worker = Worker(id=new_id("wk"), hostname=hostname, queue=queue, device=device)
        try:
            with session.begin_nested():
                session.add(worker)
        except IntegrityError:  # another worker of the same host was faster
            worker = queries.get_worker(session, hostname, queue, device)
            assert worker is not None, "the unique constraint that failed names this row"
    worker.machine, worker.memory_bytes = machine, memory_bytes
    worker.catalog_sha256, worker.started_at, worker.stopped_at = sha256, utcnow(), None
    session.flush()
    queries.set_seen(session, worker.id)
    return worker.id


class Offer(NamedTuple):
    """Of all workers together, by name."""

    teachers: Mapping[str, TeacherCard]
    students: Mapping[str, StudentCard]
    methods: tuple[MethodInfo, ...]


_NEAR = 3
_LEAST_PART = 4

_OFFERS: LRUCache[tuple[str, ...], Offer] = LRUCache(16)
"""By the digests of its catalogues, so an entry is never out of date. Reading thousands of cards takes longer than all
the rest of a request."""
_OFFERS_LOCK = threading.Lock()


def offer(session: Session) -> Offer:
    """What there is to choose from.

    Raises:
        CatalogEmpty: if no worker has ever registered.
    """
    digests = tuple(queries.announced_catalogs(session))
    if not digests:
        raise CatalogEmpty(
            "No training worker has registered yet.",
            hint="Start one with `tdmr worker`, or try again in a few seconds if it is just starting.",
        )
    with _OFFERS_LOCK:
        known = _OFFERS.get(digests)
    if known is not None:
        return known
    read = [_read(digest, session.get_one(CatalogRow, digest).payload) for digest in digests]
    catalogs = [catalog for catalog in read if catalog is not None]
    if not catalogs:
        raise CatalogEmpty(
            "No training worker of this version has registered yet.",
            hint="Start one with `tdmr worker`, of the same version as the API.",
        )
    found = Offer(
        {card.name: card for catalog in catalogs for card in catalog.teachers},
        {card.name: card for catalog in catalogs for card in catalog.students},
        tuple(method for catalog in catalogs for method in catalog.methods),
    )
    with _OFFERS_LOCK:
        _OFFERS[digests] = found
    return found


def _read(digest: str, payload: Mapping[str, Any]) -> Catalog | None:
    """An offer as some worker has stored it; None if it was of a version whose offers cannot be read.

    A row outlives its worker, and during an upgrade the next version may register first: neither may take away what
    other workers offer.
    """
    try:
        return Catalog.model_validate(payload, extra="ignore")
    except ValidationError as error:
        wrong = error.errors()[0]
        log.warning("offer %.8s is of another version: %s at %s", digest, wrong["msg"], wrong["loc"])
        return None


def learn_methods(session: Session) -> None:
    """Know the methods that workers have announced, so that a spec which names one can be read."""
    with contextlib.suppress(CatalogEmpty):
        learn(offer(session).methods)


def find_teachers(offer: Offer, names: Sequence[str], *, param: str = "teacher") -> list[TeacherCard]:
    """The cards of teachers.

    Args:
        param: where the names stand in the job.

    Raises:
        UnknownTeacher: with the nearest names.
    """
    cards = offer.teachers
    for name in names:
        if name not in cards:
            raise UnknownTeacher(
                f"No worker offers a teacher named '{name}'.", hint=_hint(name, cards, "GET /v1/teachers"), param=param
            )
    return [cards[name] for name in names]


def find_students(
    offer: Offer, names: Sequence[str], *, from_weights: Iterable[str] = (), param: str = "student"
) -> list[StudentCard]:
    """The cards of student architectures. What a name has behind a dot says which pretrained weights it means.

    Args:
        from_weights: those that start from pretrained weights, which some worker must have.
        param: where the names stand in the job.

    Raises:
        UnknownStudent: with the nearest names.
    """
    cards = offer.students
    for name in names:
        if _architecture(name) not in cards:
            raise UnknownStudent(
                f"No worker offers a student named '{name}'.", hint=_hint(name, cards, "GET /v1/students"), param=param
            )
    _require_weights(offer.teachers, from_weights, param)
    return [cards[_architecture(name)] for name in names]


def _architecture(name: str) -> str:
    return name.partition(".")[0]


def _require_weights(teachers: Mapping[str, TeacherCard], names: Iterable[str], param: str) -> None:
    """Weights serve a student as they serve a teacher. An architecture alone means timm's default ones, or local ones
    of a single name."""
    local = Counter(card.architecture for card in teachers.values() if card.source != "timm")
    by_default = {
        card.architecture for card in teachers.values() if card.source == "timm" or local[card.architecture] == 1
    }
    for name in names:
        if name not in teachers and name not in by_default and not name.endswith(".random"):
            raise UnknownStudent(
                f"No worker has pretrained weights for a student named '{name}'.",
                hint=_hint(name, teachers, "GET /v1/teachers"),
                param=param,
            )


def _store(session: Session, catalog: Catalog) -> str:
    payload = catalog.model_dump(mode="json")
    sha256 = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
    if session.get(CatalogRow, sha256) is None:
        try:
            with session.begin_nested():
                session.add(CatalogRow(sha256=sha256, payload=payload))
        except IntegrityError:
            pass  # the same offer from another worker at the same moment
    return sha256


def _hint(name: str, known: Iterable[str], where: str) -> str:
    """At most three names. Whoever gives a part of one, such as a family's, means one that has it."""
    part = _letters(name)
    found = sorted(other for other in known if part in _letters(other)) if len(part) >= _LEAST_PART else []
    near = found or difflib.get_close_matches(name, list(known), n=_NEAR, cutoff=0.5)
    contains = sum(name.casefold() in other.casefold() for other in found)
    listed = f"{where}?q={name} lists {contains} of that name." if contains > _NEAR else f"{where} lists all of them."
    return f"Did you mean {' or '.join(near[:_NEAR])}? {listed}" if near else listed


def _letters(name: str) -> str:
    """A name as it is compared: `MobileNet-V3` is `mobilenetv3`."""
    return "".join(filter(str.isalnum, name.casefold()))
