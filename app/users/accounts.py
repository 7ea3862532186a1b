"""Accounts: found by id or by the address that was verified as theirs, and made."""

import unicodedata
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app import ids
from app.errors import Conflict, NotFound
from app.tables import Account


def email_key(text: str) -> str:
    """Who an address is: NFKC and lower case, so that look-alike spellings are one."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


async def find(session: AsyncSession, account_id: str) -> Account:
    account = await session.get(Account, account_id)
    if account is None:
        raise NotFound("No such user.")
    return account


async def locked(session: AsyncSession, account_id: str) -> Account:
    """The same, and nobody else changes it until the transaction ends."""
    account = await session.get(Account, account_id, with_for_update=True, populate_existing=True)
    if account is None:
        raise NotFound("No such user.")
    return account


def reachable(account: Account) -> str | None:
    """Where letters reach them: never an address that may be somebody else's."""
    return account.email if account.verified_at is not None else None


async def by_email(session: AsyncSession, email: str) -> Account | None:
    """Only an address that was verified is anybody's."""
    return await session.scalar(select(Account).where(Account.email_key == email_key(email)))


async def create(
    session: AsyncSession, email: str | None, verified: bool, password_hash: str | None = None
) -> Account:
    """A singer. An unverified address is kept, but nobody is found by it and it stays free."""
    account = Account(
        id=ids.new("usr"),
        email=email,
        email_key=email_key(email) if verified and email is not None else None,
        verified_at=datetime.now(UTC) if verified else None,
        password_hash=password_hash,
    )
    session.add(account)
    await settle_email(session)
    await session.refresh(account)
    return account


async def settle_email(session: AsyncSession) -> None:
    """Write; of two who take an address at the same time one is told so, with a Conflict."""
    try:
        async with session.begin_nested():
            await session.flush()
    except IntegrityError as error:
        raise Conflict("This e-mail address is taken.", code="email_taken") from error
