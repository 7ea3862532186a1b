"""Sessions: signed-in devices, each the family of its refresh tokens."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Select, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from app import audit, clock, ids, mail
from app.addresses import client_address
from app.errors import Forbidden, NotFound, Unauthorized
from app.sealing import Seal, digest, opaque
from app.security import User
from app.services import Services
from app.tables import Account, RefreshToken, SignIn
from app.users import accounts, letters, one_time, tokens
from app.users.schemas import TokensOut

CLIENT = "vocality"  # ours; others bring tokens of their own issuers
DEVICE_LENGTH = 200  # characters of a user agent


async def open(
    services: Services,
    session: AsyncSession,
    account: Account,
    factors: list[str],
    connection: HTTPConnection,
) -> TokensOut:
    """Sign a device in: whoever calls this has seen the proofs that `factors` names."""
    account = await accounts.locked(session, account.id)  # it may have been closed meanwhile
    if account.disabled_at is not None or account.is_service:
        raise Forbidden("This account cannot sign in.", code="account_disabled")
    sign_in = SignIn(
        id=ids.new("ses"),
        user_id=account.id,
        client_id=CLIENT,
        device=_device(connection),
        address=client_address(connection, services.settings),
        factors=factors,
        expires_at=clock.after(services.settings.session_s),
    )
    session.add(sign_in)
    audit.record(session, account.id, "session.open", _target(sign_in), {"factors": factors})
    refresh_token = await _issue(services, session, sign_in)
    return await _pair(services, session, account, sign_in, refresh_token)


def _device(connection: HTTPConnection) -> str:
    return connection.headers.get("user-agent", "")[:DEVICE_LENGTH]


def _target(sign_in: SignIn) -> str:
    return f"sessions:{sign_in.id}"


async def _issue(services: Services, session: AsyncSession, sign_in: SignIn) -> str:
    token = opaque()
    lives = clock.after(services.settings.session_s)
    await session.flush()
    session.add(RefreshToken(digest=digest(token), session_id=sign_in.id, expires_at=lives))
    await session.flush()
    return token


async def _pair(
    services: Services, session: AsyncSession, account: Account, sign_in: SignIn, refresh: str
) -> TokensOut:
    return TokensOut(
        access_token=await tokens.access(services, session, account, sign_in),
        expires_in=int(services.settings.access_token_s),
        refresh_token=refresh,
    )


async def refresh(services: Services, token: str) -> TokensOut:
    """A fresh pair for a refresh token; one that was used before ends its whole session."""
    async with services.transaction() as session:
        found = await _exchange(services, session, token)
    if found is None:  # said after the commit, which keeps the session ended
        raise tokens.refused()
    return found


async def _exchange(services: Services, session: AsyncSession, token: str) -> TokensOut | None:
    """Of several at once the first makes the child; the others wait here, and get the same."""
    parent = await session.get(RefreshToken, digest(token), with_for_update=True)
    if parent is None or parent.expires_at < datetime.now(UTC):
        return None
    sign_in = await session.get_one(SignIn, parent.session_id)
    account = await session.get_one(Account, sign_in.user_id)
    if not standing(sign_in) or account.disabled_at is not None:
        return None
    child = await _child(services, session, sign_in, parent, token)
    if child is None:
        await _stolen(session, account, sign_in)
        return None
    return await _pair(services, session, account, sign_in, child)


def standing(sign_in: SignIn) -> bool:
    return sign_in.revoked_at is None and sign_in.expires_at > datetime.now(UTC)


async def _child(
    services: Services, session: AsyncSession, sign_in: SignIn, parent: RefreshToken, token: str
) -> str | None:
    """The next token of the family: the same one for as long as tabs may race, then none.

    It is kept sealed with its parent: the database alone gives nobody a token.
    """
    if parent.child is not None and parent.used_at is not None:
        grace = timedelta(seconds=services.settings.refresh_grace_s)
        racing = datetime.now(UTC) <= parent.used_at + grace
        return Seal(token).open(parent.child) if racing else None
    child = await _issue(services, session, sign_in)
    parent.child, parent.used_at = Seal(token).close(child), datetime.now(UTC)
    sign_in.seen_at = datetime.now(UTC)
    sign_in.expires_at = sign_in.seen_at + timedelta(seconds=services.settings.session_s)
    return child


async def _stolen(session: AsyncSession, account: Account, sign_in: SignIn) -> None:
    await revoke(session, sign_in, "a refresh token was used twice")
    audit.record(session, account.id, "session.reuse", _target(sign_in), {"device": sign_in.device})
    if address := accounts.reachable(account):
        mail.write(session, address, *letters.stolen(sign_in.device, sign_in.address))


async def revoke(session: AsyncSession, sign_in: SignIn, why: str) -> None:
    """Safe to repeat."""
    if sign_in.revoked_at is not None:
        return
    sign_in.revoked_at, sign_in.revoked_why = datetime.now(UTC), why
    audit.record(session, sign_in.user_id, "session.revoke", _target(sign_in), {"why": why})
    await session.flush()


async def revoke_all(
    session: AsyncSession, account: Account, why: str, but: str | None = None
) -> None:
    """Every device, every link and step that was begun, and every access token that is out there:
    that of `but` asks for a new one."""
    theirs = update(SignIn).where(SignIn.user_id == account.id, SignIn.revoked_at.is_(None))
    if but is not None:
        theirs = theirs.where(SignIn.id != but)
    await session.execute(theirs.values(revoked_at=clock.now(), revoked_why=why))
    await one_time.drop_all(session, account.id)
    account.epoch = Account.epoch + 1
    audit.record(session, account.id, "session.revoke_all", f"users:{account.id}", {"why": why})
    await session.flush()
    await session.refresh(account)


def visible_to(user: User) -> Select[SignIn]:
    """Every query of signed-in devices starts here."""
    return select(SignIn).where(
        SignIn.user_id == user.id, SignIn.revoked_at.is_(None), SignIn.expires_at > clock.now()
    )


async def every(session: AsyncSession, user: User) -> list[SignIn]:
    return list(await session.scalars(visible_to(user).order_by(SignIn.id.desc())))


async def get(session: AsyncSession, user: User, session_id: str) -> SignIn:
    found = None
    if ids.valid("ses", session_id):
        found = await session.scalar(visible_to(user).where(SignIn.id == session_id))
    if found is None:
        raise NotFound("No such session.")
    return found


async def current(session: AsyncSession, user: User) -> SignIn:
    """The session by which this user asks. Raises Unauthorized where it is none of ours."""
    if user.session_id is None:
        raise Unauthorized("You did not sign in here.", code="no_session")
    return await get(session, user, user.session_id)


async def end_all(session: AsyncSession, user: User) -> None:
    """Sign out everywhere."""
    account = await accounts.locked(session, user.id)
    await revoke_all(session, account, "signed out everywhere")
