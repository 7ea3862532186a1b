"""Identity: who shows these credentials, by whichever of the ways in."""

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from app.admission import reads
from app.errors import Unauthorized
from app.security import Role, User
from app.services import Services
from app.users import tokens
from app.users.keys import service as api_keys
from app.users.outside import issuers

LONGEST = 8192  # characters of a token


@dataclass(frozen=True, slots=True)
class Shown:
    """What good credentials say; the account itself has the last word."""

    account_id: str
    scopes: frozenset[str] | None = None
    session_id: str | None = None
    epoch: int | None = None


async def identify(connection: HTTPConnection) -> User:
    """Raises Unauthorized, alike for all that is not good."""
    services: Services = connection.app.state.services
    drilled = connection.headers.get("x-drill-user")
    if services.settings.drills and drilled:  # rollouts are sticky by user
        return User(drilled, frozenset(Role))
    shown = await _shown(services, _token(connection))
    standing = await services.standings.of(
        shown.account_id, shown.session_id, fresh=not reads(connection)
    )
    if standing is None or (shown.epoch is not None and shown.epoch < standing.epoch):
        raise refused()  # a newer epoch than what is remembered is ours too: we signed it
    return User(shown.account_id, standing.roles, shown.scopes, shown.session_id)


def _token(connection: HTTPConnection) -> str:
    written = connection.headers.getlist("authorization")
    if not written:
        raise Unauthorized("Sign in, or show an API key: Authorization: Bearer <token>.")
    scheme, _, token = written[0].partition(" ")
    if len(written) > 1 or scheme.lower() != "bearer" or len(token) > LONGEST:
        raise refused()
    return token.strip(" ")


async def _shown(services: Services, token: str) -> Shown:
    if token.startswith(api_keys.PREFIX):
        return await _of_key(services, token)
    if token.count(".") != 2:  # no JWS: nothing to verify
        raise refused()
    if (account_id := await issuers.verify(services, token)) is not None:
        return Shown(account_id)
    claims = await tokens.verify(services, token)
    return Shown(claims.sub, None, claims.sid, claims.epoch)


async def _of_key(services: Services, key: str) -> Shown:
    async with services.transaction() as session:
        found = await api_keys.resolve(session, key)
    if found is None:
        raise refused()
    return Shown(found.account_id, found.scopes)


def refused() -> Unauthorized:
    return Unauthorized("These credentials are not good, or no longer.", code="invalid_token")
