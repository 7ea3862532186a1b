"""Signing in by password: the same answer and the same work for whoever is not let in."""

from starlette.requests import HTTPConnection

from app.errors import Unauthorized
from app.services import Services
from app.tables import Account
from app.users import accounts, attempts
from app.users.factors import second_step
from app.users.schemas import MfaNeeded, TokensOut


async def by_password(
    services: Services, connection: HTTPConnection, email: str, password: str
) -> TokensOut | MfaNeeded:
    """No database session is open while the password is hashed."""
    with services.passwords.place():
        proved = await _proved(services, connection, email, password)
    await _renew(services, proved, password)
    async with services.transaction() as session:
        account = await accounts.locked(session, proved.id)
        if account.epoch != proved.epoch:  # the password was changed meanwhile
            raise _refused()
        return await second_step.proceed(services, session, account, "password", connection)


async def _proved(
    services: Services, connection: HTTPConnection, email: str, password: str
) -> Account:
    """Whose address and password this is; guesses are counted whether there is such an account."""
    who = f"email:{accounts.email_key(email)}", attempts.house(connection, services.settings)
    await attempts.check(services.redis, *who)
    account = await _account(services, email)
    hashed = account.password_hash if account else None
    if not await services.passwords.check_in_place(password, hashed) or account is None:
        await attempts.failed(services.redis, *who)
        raise _refused()
    await attempts.succeeded(services.redis, *who)
    return account


def _refused() -> Unauthorized:
    return Unauthorized("The e-mail address or the password is wrong.", code="invalid_credentials")


async def _account(services: Services, email: str) -> Account | None:
    async with services.transaction() as session:
        return await accounts.by_email(session, email)


async def _renew(services: Services, account: Account, password: str) -> None:
    """A hash that cost less than the settings ask for today is made anew."""
    if account.password_hash is None or not services.passwords.outdated(account.password_hash):
        return
    fresh = await services.passwords.hash(password)
    async with services.transaction() as session:
        found = await accounts.locked(session, account.id)
        if found.password_hash == account.password_hash:
            found.password_hash = fresh
