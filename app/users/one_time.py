"""One-time tokens: links and steps that can be taken once, kept as digests only."""

from sqlalchemy import Delete, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import clock
from app.errors import Unauthorized
from app.sealing import digest, opaque
from app.tables import Json, OneTimeToken


async def issue(
    session: AsyncSession, purpose: str, user_id: str | None, data: Json, lives_s: float
) -> str:
    """The token, shown this once."""
    token = opaque()
    session.add(
        OneTimeToken(
            digest=digest(token),
            purpose=purpose,
            user_id=user_id,
            data=data,
            expires_at=clock.after(lives_s),
        )
    )
    await session.flush()
    return token


async def look(session: AsyncSession, purpose: str, token: str) -> OneTimeToken:
    """The standing token, locked until the transaction ends; it can still be taken."""
    found = await session.scalar(
        select(OneTimeToken)
        .where(
            OneTimeToken.digest == digest(token),
            OneTimeToken.purpose == purpose,
            OneTimeToken.used_at.is_(None),
            OneTimeToken.expires_at > clock.now(),
        )
        .with_for_update()
    )
    if found is None:
        raise Unauthorized("This token is wrong, used or too old.", code="invalid_token")
    return found


async def take(session: AsyncSession, purpose: str, token: str) -> OneTimeToken:
    """Once: of two who try at the same time one is refused."""
    found = await look(session, purpose, token)
    found.used_at = await session.scalar(select(clock.now()))
    return found


async def recent(session: AsyncSession, purpose: str, user_id: str, seconds: float) -> int:
    """How many of this purpose the user got in the latest so many seconds."""
    theirs = select(func.count()).select_from(OneTimeToken).where(OneTimeToken.user_id == user_id)
    lately = OneTimeToken.created_at > clock.after(-seconds)
    return await session.scalar(theirs.where(OneTimeToken.purpose == purpose, lately)) or 0


async def drop(session: AsyncSession, user_id: str, *purposes: str) -> None:
    """None of the user's tokens of these purposes can be taken from now on."""
    await session.execute(_of(user_id).where(OneTimeToken.purpose.in_(purposes)))


async def drop_all(session: AsyncSession, user_id: str) -> None:
    """Whatever was begun, by whomever, ends here."""
    await session.execute(_of(user_id))


def _of(user_id: str) -> Delete:
    return delete(OneTimeToken).where(OneTimeToken.user_id == user_id)
