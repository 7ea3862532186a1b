"""Privacy: what somebody consents to, and what follows when they take it back."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, consents, pages
from app.analyses import queue
from app.consents import TERMS, Purpose
from app.errors import Conflict
from app.security import User
from app.tables import ConsentChange
from app.users.me.schemas import ConsentIn, ConsentOut


async def every(session: AsyncSession, user: User) -> list[ConsentOut]:
    """One for each purpose, said or not."""
    said = await consents.said(session, user.id)
    return [ConsentOut.of(purpose, said.get(purpose)) for purpose in TERMS]


async def decide(
    session: AsyncSession, user: User, purpose: Purpose, asked: ConsentIn
) -> ConsentOut:
    """Safe to repeat. Raises Conflict for an answer to another text than the present one."""
    if asked.text_version != TERMS[purpose].version:
        raise Conflict("The text has changed: show the new one first.", code="text_changed")
    if asked.given:
        await consents.grant(session, user.id, purpose)
    else:
        await consents.withdraw(session, user.id, purpose)
        if purpose == "analysis":
            await queue.cancel_all(session, user.id)
    verb = "given" if asked.given else "withdrawn"
    audit.record(session, user.id, f"consent.{verb}", f"users:{user.id}", {"purpose": purpose})
    return ConsentOut.of(purpose, (await consents.said(session, user.id))[purpose])


async def history(
    session: AsyncSession, user: User, limit: int, cursor: str | None
) -> tuple[list[ConsentChange], str | None]:
    """Newest first."""
    theirs = select(ConsentChange).where(ConsentChange.user_id == user.id)
    return await pages.counted(session, ConsentChange, theirs, limit, cursor)
