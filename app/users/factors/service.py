"""Second factors of an account: which there are, and how one is taken away."""

from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import ColumnElement, Select, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, ids, mail
from app.errors import NotFound
from app.tables import Account, Factor
from app.users import accounts, letters


class Kind(StrEnum):
    totp = "totp"
    passkey = "passkey"
    recovery = "recovery"


SECOND = (Kind.totp, Kind.passkey)  # one of these means: a password alone opens nothing


def visible_to(user_id: str) -> Select[Factor]:
    """Every query of factors starts here."""
    return select(Factor).where(Factor.user_id == user_id)


def standing() -> ColumnElement[bool]:
    """Confirmed; a recovery code that was used is none any more."""
    unspent = (Factor.kind != Kind.recovery) | Factor.used_at.is_(None)
    return Factor.confirmed_at.is_not(None) & unspent


async def kinds(session: AsyncSession, user_id: str) -> list[Kind]:
    """With what the second step of a sign-in can be taken; empty: there is no second step."""
    query = select(Factor.kind).where(Factor.user_id == user_id, standing()).distinct()
    found = {Kind(kind) for kind in await session.scalars(query)}
    return [kind for kind in Kind if kind in found] if found & set(SECOND) else []


async def listed(session: AsyncSession, user_id: str) -> Sequence[Factor]:
    """The authenticators and passkeys, newest first."""
    query = visible_to(user_id).where(Factor.kind.in_(SECOND), standing())
    return (await session.scalars(query.order_by(Factor.id.desc()))).all()


async def codes_left(session: AsyncSession, user_id: str) -> int:
    theirs = visible_to(user_id).where(Factor.kind == Kind.recovery, standing())
    return await session.scalar(select(func.count()).select_from(theirs.subquery())) or 0


async def remove(session: AsyncSession, account: Account, factor_id: str) -> None:
    """With the last of them the recovery codes go too: they would be passwords nobody guards."""
    theirs = visible_to(account.id).where(Factor.kind.in_(SECOND), standing())
    if not ids.valid("fac", factor_id):
        raise NotFound("No such factor.")
    factor = await session.scalar(theirs.where(Factor.id == factor_id).with_for_update())
    if factor is None:
        raise NotFound("No such factor.")
    await session.delete(factor)
    await session.flush()
    if not await kinds(session, account.id):
        await session.execute(delete(Factor).where(Factor.user_id == account.id))
    tell(session, account, "factor.remove", factor, "was taken away")


def tell(session: AsyncSession, account: Account, action: str, factor: Factor, what: str) -> None:
    """In the audit log, and to the account's owner: this may be somebody else's doing."""
    audit.record(session, account.id, action, f"factors:{factor.id}", {"kind": factor.kind})
    if (address := accounts.reachable(account)) is not None:
        mail.write(session, address, *letters.factor_changed(factor.kind, what))
