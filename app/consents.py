"""What people let their takes be used for: given and taken back, one row for each purpose."""

from collections.abc import Iterable
from typing import Literal

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.tables import Consent

Purpose = Literal["training"]


async def grant(session: AsyncSession, user_id: str, purpose: Purpose) -> None:
    """From now on. Safe to repeat: who consents already goes on consenting since then."""
    fresh = insert(Consent).values(user_id=user_id, purpose=purpose)
    again = fresh.on_conflict_do_update(
        index_elements=["user_id", "purpose"],
        set_={"granted_at": func.now(), "withdrawn_at": None},
        where=Consent.withdrawn_at.is_not(None),
    )
    await session.execute(again)


async def withdraw(session: AsyncSession, user_id: str, purpose: Purpose) -> None:
    """From now on. Safe to repeat."""
    theirs = update(Consent).where(Consent.user_id == user_id, Consent.purpose == purpose)
    await session.execute(
        theirs.where(Consent.withdrawn_at.is_(None)).values(withdrawn_at=func.now())
    )


async def consenting(session: AsyncSession, owners: Iterable[str], purpose: Purpose) -> set[str]:
    """Which of them consent now: to be asked when takes are read, and never remembered."""
    standing = select(Consent.user_id).where(
        Consent.user_id.in_(set(owners)),
        Consent.purpose == purpose,
        Consent.withdrawn_at.is_(None),
    )
    return set(await session.scalars(standing))
