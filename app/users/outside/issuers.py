"""Outside issuers: whose access tokens are taken here, and whose account each stands for."""

from sqlalchemy import select

from app.services import Services
from app.tables import OutsideIdentity
from app.users.outside import identities
from app.users.outside import tokens as outside_tokens
from app.users.outside.configuration import OutsideIssuer
from app.users.outside.identities import Vouched

TYPES = ("at+jwt", "JWT", None)  # those who do not follow RFC 9068 write JWT, or nothing
ONLY_IN_ID_TOKENS = frozenset({"nonce", "at_hash", "c_hash"})


async def verify(services: Services, token: str) -> str | None:
    """The account of a good token; None where no issuer that we know is named in it.

    Raises Unauthorized where one is named and the token is not good. Whoever comes for the first
    time gets an account of their own: no address in such a token opens somebody else's.
    """
    trusted = services.settings.outside_issuers
    if not trusted:
        return None
    named = outside_tokens.parts(token)[1].get("iss")
    issuer = next((issuer for issuer in trusted if issuer.issuer == named), None)
    if issuer is None:
        return None
    return await _account_of(services, await _read(services, issuer, token))


async def _read(services: Services, issuer: OutsideIssuer, token: str) -> Vouched:
    claims = await outside_tokens.read(
        services.published,
        token,
        keys_at=issuer.keys_at,
        issuer=issuer.issuer,
        audience=issuer.audience,
        types=TYPES,
    )
    wrong = any(claims.get(name) != value for name, value in issuer.claims.items())
    if wrong or ONLY_IN_ID_TOKENS & claims.keys():
        raise outside_tokens.refused()
    return Vouched(issuer.issuer, claims["sub"])


async def _account_of(services: Services, vouched: Vouched) -> str:
    known = select(OutsideIdentity.user_id).where(
        OutsideIdentity.issuer == vouched.issuer, OutsideIdentity.subject == vouched.subject
    )
    async with services.transaction() as session:
        found = await session.scalar(known)
        if found is not None:
            return found
        return (await identities.account_of(session, vouched, links_email=False)).id
