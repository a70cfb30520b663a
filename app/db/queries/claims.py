"""Claims on rows, fenced by the attempt epoch; the same for jobs and for data sets.

Every write names the attempt epoch of its claim and the state it expects. No row hit means that the claim is over
(another worker holds the row, or its work has ended): the caller is a zombie and must stop. Nobody's clock is involved.
"""

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Label, null, select, update
from sqlalchemy.orm import Session

from app.db.models import Dataset, Job, utcnow
from app.db.queries.jobs import Held
from app.domain.states import StopRequest

Row = TypeVar("Row", Job, Dataset)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write to one object, until someone else claims it."""

    id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The store's answer to a sign of life."""

    alive: bool
    """False: the claim is over; kill the child and leave."""
    stop_requested: StopRequest | None = None
    preview_wanted: str | None = None
    """The student of whose latest preview somebody wants the ONNX file."""


@dataclass(frozen=True)
class Leases(Generic[Row]):
    """How the rows of one table are claimed and held."""

    table: type[Row]
    waits: tuple[ColumnElement[bool], ...]
    """True of a row that may be claimed."""
    is_held: tuple[ColumnElement[bool], ...]
    """True of a row that some worker holds."""
    stop_requested: Any
    """What the row's user asks of its holder."""
    preview_wanted: Any = field(default_factory=null)
    """What else."""

    def claim(self, session: Session, object_id: str, worker_id: str, **values: Any) -> Row | None:
        """The row, claimed for this worker; None if it does not wait. Sets `values` too."""
        table = self.table
        fresh = {"epoch": table.epoch + 1, "hb_seq": 0, "worker_id": worker_id, "updated_at": utcnow()}
        return self._write(session, (table.id == object_id, *self.waits), fresh | values)

    def beat(self, session: Session, claim: Claim | Held, **values: Any) -> Heartbeat:
        """Raise the heartbeat counter, set `values`, and learn whether the claim still stands and whether to stop."""
        table = self.table
        alive = {"hb_seq": table.hb_seq + 1, "updated_at": table.updated_at}  # a sign of life is no news to the user
        statement = update(table).where(*self._of(claim)).values(alive | values).returning(*self._asked())
        row = session.execute(statement).first()
        return Heartbeat(alive=False) if row is None else Heartbeat(True, row.stop_requested, row.preview_wanted)

    def read(self, session: Session, claim: Claim | Held) -> Heartbeat:
        """The same answer without a write."""
        row = session.execute(select(*self._asked()).where(*self._of(claim))).first()
        return Heartbeat(alive=False) if row is None else Heartbeat(True, row.stop_requested, row.preview_wanted)

    def held(self, session: Session, claim: Claim | Held, *unmoved: ColumnElement[bool]) -> Row | None:
        """The claimed row, locked by a guarded write; None if the claim is over, or `unmoved` is not true of it."""
        return self._write(session, (*self._of(claim), *unmoved), {"updated_at": utcnow()})

    def _asked(self) -> tuple[Label[StopRequest | None], Label[str | None]]:
        return self.stop_requested.label("stop_requested"), self.preview_wanted.label("preview_wanted")

    def _of(self, claim: Claim | Held) -> tuple[ColumnElement[bool], ...]:
        return (self.table.id == claim.id, self.table.epoch == claim.epoch, *self.is_held)

    def _write(self, session: Session, where: tuple[ColumnElement[bool], ...], values: dict[str, Any]) -> Row | None:
        row = session.execute(update(self.table).where(*where).values(values).returning(self.table.id)).first()
        return None if row is None else session.get_one(self.table, row.id, populate_existing=True)
