"""Recovery codes: ten ways in, each used once, for whoever lost the second factor."""

import base64
import secrets

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, clock, ids
from app.errors import Conflict
from app.sealing import digest
from app.tables import Account, Factor
from app.users.factors import service as factors
from app.users.factors.service import Kind

HOW_MANY = 10
BITS = 80  # SHA-256 is enough for what cannot be guessed
GROUP = 4  # letters between two dashes


async def renew(session: AsyncSession, user_id: str) -> list[str]:
    """Ten fresh codes, shown this once; those from before are worth nothing."""
    old = delete(Factor).where(Factor.user_id == user_id, Factor.kind == Kind.recovery)
    await session.execute(old)
    codes = [_code() for _ in range(HOW_MANY)]
    session.add_all(_row(user_id, code) for code in codes)
    await session.flush()
    return codes


async def for_owner(session: AsyncSession, account: Account) -> list[str]:
    """Fresh codes for whoever has a second factor to lose."""
    if not await factors.kinds(session, account.id):
        raise Conflict("There is no second factor that they could stand for.", code="no_factor")
    audit.record(session, account.id, "factor.renew", f"users:{account.id}", {"kind": "recovery"})
    return await renew(session, account.id)


async def first(session: AsyncSession, user_id: str) -> list[str] | None:
    """Codes for whoever has none yet."""
    return None if await factors.codes_left(session, user_id) else await renew(session, user_id)


async def spend(session: AsyncSession, user_id: str, code: str) -> bool:
    """Whether this code was good; it is not any more."""
    theirs = factors.visible_to(user_id).where(Factor.kind == Kind.recovery, factors.standing())
    row = await session.scalar(
        theirs.where(Factor.secret == digest(_plain(code))).with_for_update()
    )
    if row is None:
        return False
    row.used_at = await session.scalar(select(clock.now()))
    return True


def _row(user_id: str, code: str) -> Factor:
    return Factor(
        id=ids.new("fac"),
        user_id=user_id,
        kind=Kind.recovery,
        secret=digest(_plain(code)),
        confirmed_at=clock.now(),
    )


def _code() -> str:
    letters = base64.b32encode(secrets.token_bytes(BITS // 8)).decode().lower()
    return "-".join(letters[at : at + GROUP] for at in range(0, len(letters), GROUP))


def _plain(code: str) -> str:
    """As people type it: with or without dashes and blanks, in either case."""
    return "".join(code.split()).replace("-", "").lower()
