"""The second step of a sign-in: whoever proved one factor proves another, and a device is in."""

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from app.errors import Unauthorized
from app.services import Services
from app.tables import Account, Json
from app.users import accounts, attempts, one_time, sessions
from app.users.factors import passkeys, recovery, totp
from app.users.factors import service as factors
from app.users.factors.schemas import SecondStepIn
from app.users.factors.service import Kind
from app.users.schemas import MfaNeeded, TokensOut

MFA = "mfa"  # purpose of the token between the steps
BETWEEN_S = 300.0


async def proceed(
    services: Services,
    session: AsyncSession,
    account: Account,
    first: str,
    connection: HTTPConnection,
) -> TokensOut | MfaNeeded:
    """After the first factor: the device is in, unless the account asks for a second."""
    methods = await factors.kinds(session, account.id)
    if not methods:
        return await sessions.open(services, session, account, [first], connection)
    token = await one_time.issue(session, MFA, account.id, {"factors": [first]}, BETWEEN_S)
    return MfaNeeded(mfa_token=token, methods=[str(method) for method in methods])


async def options(services: Services, session: AsyncSession, token: str) -> Json:
    """What a passkey is asked as the second factor."""
    standing = await one_time.look(session, MFA, token)
    assert standing.user_id is not None
    return await passkeys.options_of_second(session, services.settings, standing.user_id)


async def complete(
    services: Services, session: AsyncSession, asked: SecondStepIn, connection: HTTPConnection
) -> TokensOut:
    """Guesses are counted whatever the token: a password that leaked buys no more of them."""
    standing = await one_time.look(session, MFA, asked.mfa_token)
    account = await accounts.locked(session, standing.user_id or "")
    who = f"factor:{account.id}", attempts.house(connection, services.settings)
    await attempts.check(services.redis, *who)
    kind = await _proved(services, session, account, asked)
    if kind is None:
        await attempts.failed(services.redis, *who)
        raise Unauthorized("This code or passkey is refused.", code="wrong_factor")
    await attempts.succeeded(services.redis, *who)
    await one_time.take(session, MFA, asked.mfa_token)
    proved = [*standing.data["factors"], str(kind)]
    return await sessions.open(services, session, account, proved, connection)


async def _proved(
    services: Services, session: AsyncSession, account: Account, asked: SecondStepIn
) -> Kind | None:
    """With which factor, if the proof is good."""
    if asked.code is not None:
        good = await totp.check(session, services.seal, account.id, asked.code)
        return Kind.totp if good else None
    if asked.recovery_code is not None:
        good = await recovery.spend(session, account.id, asked.recovery_code)
        return Kind.recovery if good else None
    assert asked.passkey is not None
    shown = asked.passkey.model_dump(by_alias=True)
    good = await passkeys.check(session, services.settings, account.id, shown)
    return Kind.passkey if good else None


async def by_passkey(
    services: Services, session: AsyncSession, credential: Json, connection: HTTPConnection
) -> TokensOut:
    """Both steps at once: the passkey itself, and what its holder knows or is."""
    user_id = await passkeys.sign_in(session, services.settings, credential)
    account = await accounts.find(session, user_id)
    return await sessions.open(services, session, account, [Kind.passkey], connection)
