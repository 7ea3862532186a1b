"""The hand-over after a sign-in elsewhere: a code for tokens, since no token is in an address.

A code is good once, for a minute, and with the secret (PKCE S256) only of which the app showed the
digest when it began: neither a log nor somebody's link can use it.
"""

import hmac
from dataclasses import asdict

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from app.errors import Unauthorized
from app.sealing import digest
from app.services import Services
from app.tables import Account, OneTimeToken, OutsideIdentity, SignIn
from app.users import one_time, sessions, tokens
from app.users.factors import second_step
from app.users.outside import identities
from app.users.outside.identities import Vouched
from app.users.outside.schemas import ExchangeIn
from app.users.schemas import MfaNeeded, TokensOut

HANDOFF = "oidc_handoff"  # purpose
LIVES_S = 60.0


async def issue(session: AsyncSession, provider: str, vouched: Vouched, challenge: str) -> str:
    kept = {"provider": provider, "challenge": challenge, "vouched": asdict(vouched)}
    return await one_time.issue(session, HANDOFF, None, kept, LIVES_S)


async def exchange(
    services: Services, asked: ExchangeIn, connection: HTTPConnection
) -> TokensOut | MfaNeeded:
    """Tokens for a code. One that was used before closes what it had opened."""
    async with services.transaction() as session:
        opened = await _open_or_close(services, session, asked, connection)
    if opened is None:  # said after the commit, which keeps it closed
        raise refused()
    return opened


async def _open_or_close(
    services: Services, session: AsyncSession, asked: ExchangeIn, connection: HTTPConnection
) -> TokensOut | MfaNeeded | None:
    row = await _shown(session, asked)
    if row.used_at is not None:
        await _close(session, row)
        return None
    await one_time.take(session, HANDOFF, asked.code)
    provider = services.settings.oidc_providers.get(row.data["provider"])
    links_email = provider is not None and provider.links_email
    vouched = Vouched(**row.data["vouched"])
    account = await identities.account_of(session, vouched, links_email=links_email)
    opened = await second_step.proceed(services, session, account, "oidc", connection)
    await _remember(services, row, account, opened)
    return opened


async def link(session: AsyncSession, account: Account, asked: ExchangeIn) -> OutsideIdentity:
    """From now on whoever signed in there is this account."""
    row = await _shown(session, asked)
    await one_time.take(session, HANDOFF, asked.code)
    return await identities.link(session, account, Vouched(**row.data["vouched"]))


async def _shown(session: AsyncSession, asked: ExchangeIn) -> OneTimeToken:
    """The code's row, used or not, for who has the secret that belongs to it."""
    kept = select(OneTimeToken).where(
        OneTimeToken.digest == digest(asked.code), OneTimeToken.purpose == HANDOFF
    )
    row = await session.scalar(kept.with_for_update())
    told = create_s256_code_challenge(asked.code_verifier)
    if row is None or not hmac.compare_digest(row.data["challenge"], told):
        raise refused()
    return row


async def _remember(
    services: Services, row: OneTimeToken, account: Account, opened: TokensOut | MfaNeeded
) -> None:
    """What the code has opened, in case that it is shown again."""
    row.user_id = account.id
    if isinstance(opened, TokensOut):
        claims = await tokens.verify(services, opened.access_token)
        row.data = {**row.data, "session_id": claims.sid}


async def _close(session: AsyncSession, row: OneTimeToken) -> None:
    if row.user_id is not None:
        await one_time.drop(session, row.user_id, second_step.MFA)
    if (session_id := row.data.get("session_id")) is not None:
        sign_in = await session.get(SignIn, session_id)
        if sign_in is not None:
            await sessions.revoke(session, sign_in, "the code that opened it was used twice")


def refused() -> Unauthorized:
    return Unauthorized("This code is wrong, used or too old.", code="invalid_token")
