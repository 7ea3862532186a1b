"""What people let their takes be used for: given, taken back, and the history of both."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from app.errors import Forbidden
from app.tables import Consent, ConsentChange

Purpose = Literal["analysis", "training", "community"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What somebody is asked. Another text is another version."""

    version: str
    text: str
    unasked: bool = False  # holds until it is taken back


TERMS: Mapping[Purpose, Terms] = {
    "analysis": Terms(
        "2026-11",
        "My takes are measured: it is what the platform is for. Without this no analysis is made; "
        "those that were made stay until their recording is deleted.",
        unasked=True,
    ),
    "training": Terms(
        "2026-11",
        "My takes may be used to train the models of this platform. Once I take this back, no "
        "training reads them; a model that has learnt from them already does not unlearn.",
    ),
    "community": Terms(
        "2026-11",
        "My display name and what I choose to share may be seen by other members.",
    ),
}


async def grant(session: AsyncSession, user_id: str, purpose: Purpose) -> None:
    """From now on. Safe to repeat: who consents already goes on consenting since then."""
    fresh = insert(Consent).values(user_id=user_id, purpose=purpose)
    again = fresh.on_conflict_do_update(
        index_elements=["user_id", "purpose"],
        set_={"granted_at": func.now(), "withdrawn_at": None},
        where=Consent.withdrawn_at.is_not(None),
    )
    await _change(session, user_id, purpose, again, given=True)


async def withdraw(session: AsyncSession, user_id: str, purpose: Purpose) -> None:
    """From now on. Safe to repeat, and a no where nobody had said yes."""
    fresh = insert(Consent).values(user_id=user_id, purpose=purpose, withdrawn_at=func.now())
    again = fresh.on_conflict_do_update(
        index_elements=["user_id", "purpose"],
        set_={"withdrawn_at": func.now()},
        where=Consent.withdrawn_at.is_(None),
    )
    await _change(session, user_id, purpose, again, given=False)


async def _change(
    session: AsyncSession,
    user_id: str,
    purpose: Purpose,
    change: Any,  # noqa: ANN401
    *,
    given: bool,
) -> None:
    """Only what changes something is history."""
    if await session.scalar(change.returning(Consent.user_id)) is not None:
        version = TERMS[purpose].version
        session.add(
            ConsentChange(user_id=user_id, purpose=purpose, given=given, text_version=version)
        )


async def consenting(session: AsyncSession, owners: Iterable[str], purpose: Purpose) -> set[str]:
    """Which of them consent now: to be asked when takes are read, and never remembered."""
    asked = set(owners)
    said = select(Consent.user_id).where(Consent.user_id.in_(asked), Consent.purpose == purpose)
    if TERMS[purpose].unasked:
        return asked - set(await session.scalars(said.where(Consent.withdrawn_at.is_not(None))))
    return set(await session.scalars(said.where(Consent.withdrawn_at.is_(None))))


def refused(owner: ColumnElement[str] | InstrumentedAttribute[str], purpose: Purpose) -> Exists:
    """The same within a query, for a purpose that is allowed unasked."""
    return (
        select(Consent.user_id)
        .where(
            Consent.user_id == owner,
            Consent.purpose == purpose,
            Consent.withdrawn_at.is_not(None),
        )
        .exists()
    )


async def require(session: AsyncSession, user_id: str, purpose: Purpose) -> None:
    """Raises Forbidden."""
    if user_id not in await consenting(session, [user_id], purpose):
        raise Forbidden(
            f"Consent to {purpose} was taken back. Give it again at /v1/me/consents/{purpose}.",
            code="consent_withdrawn",
        )


async def said(session: AsyncSession, user_id: str) -> Mapping[str, Consent]:
    """By purpose; none where nothing was ever said."""
    rows = await session.scalars(select(Consent).where(Consent.user_id == user_id))
    return {row.purpose: row for row in rows}
