"""Re-authentication: a second look at who asks, before what cannot be taken back."""

from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import Unauthorized
from app.security import User
from app.services import Services
from app.tables import Account, SignIn
from app.users import accounts, attempts

RECENT = timedelta(minutes=5)


async def confirm(
    services: Services, session: AsyncSession, user: User, password: str | None
) -> Account:
    """The account, locked, of somebody who just proved to be its owner.

    By the right password; where there is none, by having signed in a moment ago. To be called
    before anything else is asked of `session`: hashing waits, and must hold no connection.
    """
    hashed = await _hash_of(services, user)
    if hashed is not None:
        await _check(services, user, password, hashed)
    elif not await _signed_in_recently(session, user):
        raise _needed("Sign in again: the last time is more than five minutes ago.")
    account = await accounts.locked(session, user.id)
    if account.password_hash != hashed:
        raise _needed("The password was changed just now.")
    return account


async def _hash_of(services: Services, user: User) -> str | None:
    async with services.transaction() as session:
        return (await accounts.find(session, user.id)).password_hash


async def _check(services: Services, user: User, password: str | None, hashed: str) -> None:
    who = f"account:{user.id}"
    if password is None:
        raise _needed("This needs your password.")
    await attempts.check(services.redis, who)
    if not await services.passwords.check(password, hashed):
        await attempts.failed(services.redis, who)
        raise _needed("That is not your password.")
    await attempts.succeeded(services.redis, who)


async def _signed_in_recently(session: AsyncSession, user: User) -> bool:
    if user.session_id is None:
        return False
    sign_in = await session.get(SignIn, user.session_id)
    return sign_in is not None and datetime.now(UTC) - sign_in.created_at < RECENT


def _needed(detail: str) -> Unauthorized:
    return Unauthorized(detail, code="reauthentication_needed")
