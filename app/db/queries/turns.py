"""When each tenant last had its turn, among jobs of one priority and among downloads."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db.engine import insert
from app.db.models import QueueTurn

DOWNLOADS = -1000
"""The turns of downloads stand at a priority that no job has."""


def take_turn(session: Session, priority: int, tenant: str) -> None:
    """Put the tenant behind all others. Whoever calls it holds what keeps two claims from getting one number."""
    turn = (session.scalar(select(func.max(QueueTurn.turn))) or 0) + 1
    row = insert(session, QueueTurn).values(priority=priority, tenant=tenant, turn=turn)
    session.execute(row.on_conflict_do_update(index_elements=["priority", "tenant"], set_={"turn": turn}))
