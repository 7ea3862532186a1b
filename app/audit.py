"""The audit log: who did what to what, written in the transaction in which it happened."""

from sqlalchemy.ext.asyncio import AsyncSession

from app.tables import AuditEntry, Json


def record(session: AsyncSession, actor_id: str, action: str, target: str, details: Json) -> None:
    session.add(AuditEntry(actor_id=actor_id, action=action, target=target, details=details))
