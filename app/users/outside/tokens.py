"""Tokens that others sign: read as strictly as our own (RFC 8725), by the keys they publish."""

import time
import warnings
from collections.abc import Collection

from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning

from app import strict_json
from app.errors import Unauthorized
from app.tables import Json
from app.users.outside.published import Published

# Only what needs a private key to sign: a published key can never be used as a shared secret.
ALGORITHMS = ("EdDSA", "Ed25519", "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256")
LEEWAY_S = 30  # between the clocks of two houses
LONGEST_SUBJECT = 255  # OpenID Connect Core, 2

warnings.filterwarnings("ignore", "EdDSA is deprecated", SecurityWarning)


async def read(
    published: Published,
    token: str,
    *,
    keys_at: str,
    issuer: str,
    audience: str,
    types: Collection[str | None],
) -> Json:
    """The claims of a good token. Raises Unauthorized; ServiceUnavailable if no key can be had."""
    header, _ = parts(token)
    if header.get("alg") not in ALGORITHMS or header.get("typ") not in types or "crit" in header:
        raise refused()
    kid = header.get("kid")
    key = await published.key(keys_at, None if kid is None else str(kid))
    try:
        payload = jws.deserialize_compact(token, key, algorithms=list(ALGORITHMS)).payload
        claims = strict_json.loads(payload)
        good = _good(claims, issuer, audience)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise refused() from error
    if not good:
        raise refused()
    return dict(claims)


def parts(token: str) -> tuple[Json, Json]:
    """Header and claims as they stand there: nothing is proved. Raises Unauthorized."""
    try:
        found = jws.extract_compact(token.encode())
        header, claims = found.headers(), strict_json.loads(found.payload)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise refused() from error
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise refused()
    return header, claims


def _good(claims: Json, issuer: str, audience: str) -> bool:
    now, subject = time.time(), claims["sub"]
    for_whom = [claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"]
    times = (claims["exp"], claims["iat"], claims.get("nbf", 0))
    if not all(isinstance(at, int | float) and not isinstance(at, bool) for at in times):
        return False
    return (
        claims["iss"] == issuer
        and isinstance(for_whom, list)
        and audience in for_whom
        and isinstance(subject, str)
        and 0 < len(subject) <= LONGEST_SUBJECT
        and "\0" not in subject
        and times[0] > now - LEEWAY_S
        and max(times[1:]) < now + LEEWAY_S
    )


def refused() -> Unauthorized:
    return Unauthorized("This token is not good, or not any more.", code="invalid_token")
