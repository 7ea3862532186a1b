"""Signing in elsewhere: out to a provider, and back to an app of ours with a code for tokens."""

import hmac
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import BadRequest
from app.sealing import digest, opaque
from app.services import Services
from app.tables import Json
from app.users import one_time
from app.users.outside import handoff, providers
from app.users.outside.schemas import BackFromProvider

STATE = "oidc_state"  # purpose
AWAY_S = 600.0  # at the provider
COOKIE_PATH = "/v1/auth/oidc"


@dataclass(frozen=True, slots=True)
class Departure:
    """Where the browser is sent, and what it is to remember: a cookie of this flow only."""

    url: str
    cookie: str
    secret: str


async def depart(
    services: Services, session: AsyncSession, name: str, return_to: str, challenge: str
) -> Departure:
    """Begin a sign-in. Only an address that the operator lists, to the letter, is returned to."""
    if return_to not in services.settings.return_addresses:
        raise BadRequest("This return address is not listed.", code="return_address_refused")
    about = await providers.metadata(services, providers.find(services, name))
    verifier, nonce, secret = opaque(), opaque(), opaque()
    flow = {
        "provider": name,
        "return_to": return_to,
        "challenge": challenge,
        "nonce": nonce,
        "verifier": services.seal.close(verifier),
        "browser": digest(secret),
    }
    state = await one_time.issue(session, STATE, None, flow, AWAY_S)
    async with providers.client(services, name, about) as asking:
        url, _ = asking.create_authorization_url(
            about.authorization_endpoint, state=state, code_verifier=verifier, nonce=nonce
        )
    return Departure(url, cookie_of(state), secret)


def cookie_of(state: str) -> str:
    """One for each flow, so that two tabs do not spoil each other's."""
    return f"oidc_{digest(state)[:16]}"


async def arrive(services: Services, name: str, back: BackFromProvider, secret: str | None) -> str:
    """Where the browser goes on to, with a code for the app. Raises Unauthorized.

    Two transactions: none is open while the provider is asked.
    """
    async with services.transaction() as session:
        flow = await _taken(session, name, back.state, secret)
    about = await providers.metadata(services, providers.find(services, name))
    told = about.authorization_response_iss_parameter_supported or back.iss is not None
    if told and back.iss != about.issuer:  # RFC 9207: a code of another provider, mixed in
        raise providers.refused()
    if back.code is None:
        declined = back.error == "access_denied"
        return _with(flow["return_to"], error="access_denied" if declined else "provider_error")
    found = await providers.vouched(
        services,
        name,
        about,
        code=back.code,
        verifier=services.seal.open(flow["verifier"]),
        nonce=flow["nonce"],
    )
    async with services.transaction() as session:
        code = await handoff.issue(session, name, found, flow["challenge"])
    return _with(flow["return_to"], code=code)


async def _taken(session: AsyncSession, name: str, state: str, secret: str | None) -> Json:
    """The flow that this very browser began with this provider, once."""
    flow = (await one_time.take(session, STATE, state)).data
    same = secret is not None and hmac.compare_digest(flow["browser"], digest(secret))
    if not same or flow["provider"] != name:
        raise providers.refused()
    return dict(flow)


def _with(address: str, **parameters: str) -> str:
    parts = urlsplit(address)
    query = "&".join(filter(None, (parts.query, urlencode(parameters))))
    return urlunsplit(parts._replace(query=query))
