"""Queries about what work costs on each kind of machine."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db.models import Speed

_STAMP = select(func.count(), func.max(Speed.updated_at)).select_from(Speed)


def get_speed(session: Session, key: tuple[str, str, str, int, str]) -> Speed | None:
    return session.get(Speed, key, with_for_update=True)


def list_speeds(session: Session, machine: str) -> Sequence[Speed]:
    """All that is known of a kind of machine: some hundreds of rows at most."""
    return session.scalars(select(Speed).where(Speed.machine == machine)).all()


def stamp(session: Session) -> tuple[int, datetime | None]:
    """Another value once something was learned."""
    count, latest = session.execute(_STAMP).one()
    return count, latest
