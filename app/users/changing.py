"""Changing how one signs in: a forgotten password, a new one, another e-mail address."""

from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, mail
from app.errors import Conflict
from app.security import User
from app.services import Services
from app.tables import Account
from app.users import accounts, letters, one_time, passwords, reauthentication, sessions
from app.users.keys import service as api_keys

RESET, CHANGE_EMAIL = "reset", "change_email"
RESET_LIVES_S = 3600.0
CHANGE_LIVES_S = 24 * 3600.0
LETTERS_AN_HOUR = 5  # of one purpose to one account


async def forgot(services: Services, email: str) -> None:
    """Hashes for nothing, so that the time does not tell whether there is such an account."""
    await services.passwords.hash(email)
    async with services.transaction() as session:
        account = await accounts.by_email(session, email)
        if account is None or account.disabled_at is not None:
            return
        if await one_time.recent(session, RESET, account.id, 3600) >= LETTERS_AN_HOUR:
            return
        token = await one_time.issue(session, RESET, account.id, {}, RESET_LIVES_S)
        mail.write(session, str(account.email), *letters.reset(services.settings, token))


async def reset(services: Services, token: str, password: str) -> None:
    """Signs nobody in: a second factor will still be asked for."""
    async with services.transaction() as session:
        asked = await one_time.look(session, RESET, token)
        account = await accounts.find(session, str(asked.user_id))
    passwords.accept(password, email=account.email or "")
    hashed = await services.passwords.hash(password)
    async with services.transaction() as session:
        await one_time.take(session, RESET, token)
        account = await accounts.locked(session, account.id)
        await api_keys.end_all(session, account.id)  # who lost the account may fear whose they are
        await _set(session, account, hashed, "the password was reset")


async def password(
    services: Services, session: AsyncSession, user: User, new: str, current: str | None
) -> None:
    """Every other device is signed out; this one has to refresh its access token."""
    passwords.accept(new)
    hashed = await services.passwords.hash(new)  # before a connection is held
    account = await reauthentication.confirm(services, session, user, current)
    passwords.accept(new, email=account.email or "")
    await _set(session, account, hashed, "the password was changed", but=user.session_id)


async def _set(
    session: AsyncSession, account: Account, hashed: str, why: str, but: str | None = None
) -> None:
    account.password_hash = hashed
    await sessions.revoke_all(session, account, why, but)
    audit.record(session, account.id, "user.password", f"users:{account.id}", {"why": why})
    if address := accounts.reachable(account):
        mail.write(session, address, *letters.password_changed())


async def ask_email(
    services: Services, session: AsyncSession, user: User, email: str, password: str | None
) -> None:
    """A letter goes to the new address; whether it was somebody's already only they are told."""
    account = await reauthentication.confirm(services, session, user, password)
    if await one_time.recent(session, CHANGE_EMAIL, account.id, 3600) >= LETTERS_AN_HOUR:
        return
    data = {"email": email}
    token = await one_time.issue(session, CHANGE_EMAIL, account.id, data, CHANGE_LIVES_S)
    known = await accounts.by_email(session, email)
    if known is not None:
        mail.write(session, str(known.email), *letters.email_taken())
        return
    mail.write(session, email, *letters.change_email(services.settings, token))


async def change_email(session: AsyncSession, token: str) -> None:
    """Links that went to the old address are dead; it is told where it was replaced."""
    asked = await one_time.take(session, CHANGE_EMAIL, token)
    account = await accounts.locked(session, str(asked.user_id))
    email = str(asked.data["email"])
    if await accounts.by_email(session, email) is not None:
        raise Conflict("This address has an account already.", code="email_taken")
    before, account.email = accounts.reachable(account), email
    account.email_key, account.verified_at = accounts.email_key(email), datetime.now(UTC)
    await accounts.settle_email(session)
    await one_time.drop(session, account.id, RESET, CHANGE_EMAIL)
    audit.record(session, account.id, "user.email", f"users:{account.id}", {})
    if before is not None:
        mail.write(session, before, *letters.email_changed(email))
