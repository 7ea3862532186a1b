"""Tokens that we sign: access tokens by RFC 9068, read as strictly as RFC 8725 asks."""

import time
import uuid
import warnings

from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jws import extract_compact
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import Unauthorized
from app.services import Services
from app.tables import Account, Json, SignIn
from app.users.keyring import ALGORITHM

ACCESS = "at+jwt"
AUDIENCE = "vocality"
LEEWAY_S = 2  # between the clocks of two of our machines
HEADER = frozenset({"alg", "typ", "kid"})  # jku, jwk, x5u, crit and their like are refused unread

# RFC 9864 renames the algorithm, and no library of those who check our tokens knows the new name.
warnings.filterwarnings("ignore", "EdDSA is deprecated", SecurityWarning)


class Claims(BaseModel):
    """What a good access token says."""

    model_config = ConfigDict(frozen=True, strict=True)

    iss: str
    aud: str
    sub: str
    client_id: str
    jti: str
    iat: int
    exp: int
    sid: str
    epoch: int
    nbf: int = 0


async def access(
    services: Services, session: AsyncSession, account: Account, sign_in: SignIn
) -> str:
    now = int(time.time())
    claims = {
        "iss": services.settings.base_url,
        "aud": AUDIENCE,
        "sub": account.id,
        "client_id": sign_in.client_id,
        "jti": uuid.uuid4().hex,
        "iat": now,
        "exp": now + int(services.settings.access_token_s),
        "sid": sign_in.id,
        "epoch": account.epoch,
    }
    return await sign(services, session, claims, ACCESS)


async def sign(services: Services, session: AsyncSession, claims: Json, typ: str) -> str:
    """A compact JWS of these claims, by the key that signs now."""
    key = await services.keys.signing(session)
    assert key.private is not None
    header = {"alg": ALGORITHM, "typ": typ, "kid": key.kid}
    return jwt.encode(header, claims, key.private, algorithms=[ALGORITHM])


async def verify(services: Services, token: str) -> Claims:
    """What our own access token says. Raises Unauthorized for anything else; fetches nothing."""
    try:
        claims = await _read(services, token)
    except (JoseError, ValidationError, ValueError, TypeError, RecursionError) as error:
        raise refused() from error
    now = time.time()
    good = (
        claims.iss == services.settings.base_url
        and claims.aud == AUDIENCE
        and claims.exp > now - LEEWAY_S
        and max(claims.iat, claims.nbf) < now + LEEWAY_S
    )
    if not good:
        raise refused()
    return claims


async def _read(services: Services, token: str) -> Claims:
    header = header_of(token)
    if set(header) != HEADER or header["alg"] != ALGORITHM or header["typ"] != ACCESS:
        raise refused()
    key = await services.keys.find(str(header["kid"]))
    if key is None or not key.verifies(services.settings.access_token_s):
        raise refused()
    return Claims.model_validate(jwt.decode(token, key.public, algorithms=[ALGORITHM]).claims)


def header_of(token: str) -> Json:
    """What it says of itself, which nobody has checked."""
    return extract_compact(token.encode()).headers()


def refused() -> Unauthorized:
    return Unauthorized("This token is not good, or not any more.", code="invalid_token")
