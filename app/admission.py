"""Admission: who asks, and whether too often; once a request, however many want to know."""

from starlette.requests import HTTPConnection

from app import ratelimits
from app.addresses import client_address, household
from app.errors import Unauthorized
from app.permissions import PUBLIC
from app.ratelimits import Policy
from app.sealing import digest
from app.security import User
from app.services import Services
from app.telemetry import USER

_READING = ("GET", "HEAD", "OPTIONS")
SIGNING_IN = "/v1/auth/"
COUNTED = ("/v1/", "/.well-known/")  # probes and pages of documents are not


async def admit(connection: HTTPConnection, operation: str) -> User:
    """Raises Unauthorized, TooManyRequests."""
    if (known := connection.scope.get(USER)) is not None:
        found: User = known
        return found
    services: Services = connection.app.state.services
    try:
        user = await services.identity(connection)
    except Unauthorized:
        await _spend_by_address(connection, ratelimits.STRANGERS)
        raise
    await _spend_by_user(connection, user, operation)
    connection.scope[USER] = user
    return user


def reads(connection: HTTPConnection) -> bool:
    return connection.scope.get("method", "GET") in _READING


async def limit_unknown(connection: HTTPConnection, operation: str) -> None:
    """What anybody may try is counted by address, whoever they turn out to be."""
    path = connection.scope["path"]
    if path.startswith(SIGNING_IN):
        await _spend_by_address(connection, ratelimits.AUTH)
    elif operation in PUBLIC and path.startswith(COUNTED):
        await _spend_by_address(connection, ratelimits.STRANGERS)
    if operation in ratelimits.SENDS_LETTERS:
        await _spend_by_address(connection, ratelimits.LETTERS)


async def _spend_by_address(connection: HTTPConnection, policy: Policy) -> None:
    services: Services = connection.app.state.services
    address = household(client_address(connection, services.settings))
    await ratelimits.spend(connection, policy, address)


async def _spend_by_user(connection: HTTPConnection, user: User, operation: str) -> None:
    policy = ratelimits.READS if reads(connection) else ratelimits.WRITES
    await ratelimits.spend(connection, policy, user.id)
    if operation in ratelimits.DECODES:
        await ratelimits.spend(connection, ratelimits.HEAVY, user.id)
    if user.scopes is not None:
        key = digest(connection.headers.get("authorization", "").partition(" ")[2].strip(" "))
        await ratelimits.spend(connection, ratelimits.KEYS, key)
