"""The audit log: who did what to what, written in the transaction in which it happened."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import pages
from app.dependencies import MayReadAudit, SessionDep
from app.pages import Cursor, Limit
from app.problems import documented
from app.tables import AuditEntry, Json

router = APIRouter(prefix="/v1/audit", tags=["operations"])

Target = Annotated[
    str | None,
    Query(pattern=r"^[\w:.-]{1,100}$", examples=["rollouts:pitch"], description="Only of this."),
]


class AuditOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    actor_id: str
    action: str = Field(examples=["rollout.promote"])
    target: str = Field(examples=["rollouts:pitch"])
    details: Json
    created_at: datetime


class AuditPage(BaseModel):
    items: list[AuditOut]
    next_cursor: str | None


def record(session: AsyncSession, actor_id: str, action: str, target: str, details: Json) -> None:
    session.add(AuditEntry(actor_id=actor_id, action=action, target=target, details=details))


async def about(
    session: AsyncSession, user_id: str, limit: int, cursor: str | None
) -> tuple[list[AuditEntry], str | None]:
    """What somebody did, and what was done to their account."""
    theirs = or_(AuditEntry.actor_id == user_id, AuditEntry.target == f"users:{user_id}")
    return await pages.counted(session, AuditEntry, select(AuditEntry).where(theirs), limit, cursor)


@router.get("", responses=documented(400, 401, 403, 422))
async def list_audit_entries(
    user: MayReadAudit,
    session: SessionDep,
    limit: Limit = 20,
    cursor: Cursor = None,
    target: Target = None,
) -> AuditPage:
    """Who did what to what, newest first."""
    query = select(AuditEntry)
    if target is not None:
        query = query.where(AuditEntry.target == target)
    items, next_cursor = await pages.counted(session, AuditEntry, query, limit, cursor)
    return AuditPage(
        items=[AuditOut.model_validate(item) for item in items], next_cursor=next_cursor
    )
