"""OpenID Connect providers: what one says of itself, and what it says of who signed in there."""

import hmac
from typing import Annotated, Any

import httpx2
import structlog
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from app.errors import NotFound, ServiceUnavailable, Unauthorized
from app.services import Services
from app.tables import Json
from app.users.outside import tokens as outside_tokens
from app.users.outside.configuration import OidcProvider, guarded
from app.users.outside.identities import Vouched
from app.users.schemas import Email

TIMEOUT_S = 5.0
TYPES = ("JWT", None)  # of an ID token: an access token (at+jwt) is none

log = structlog.get_logger(__name__)


def _safe(address: str) -> str:
    if not guarded(address):
        raise ValueError("an address that others on the way could change")
    return address


Endpoint = Annotated[str, AfterValidator(_safe)]


class Metadata(BaseModel):
    """OpenID Connect Discovery, what of it we go by."""

    issuer: str
    authorization_endpoint: Endpoint
    token_endpoint: Endpoint
    jwks_uri: Endpoint
    userinfo_endpoint: Endpoint | None = None
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]
    authorization_response_iss_parameter_supported: bool = False

    def as_guarded_as(self, issuer: str) -> bool:
        """Plain http is for a provider on this machine: no other one sends us to our own ports."""
        named = (
            self.authorization_endpoint,
            self.token_endpoint,
            self.jwks_uri,
            self.userinfo_endpoint or issuer,
        )
        return issuer.startswith("http:") or all(each.startswith("https:") for each in named)


class Claims(BaseModel):
    """What a provider says of somebody, in the ID token or at its userinfo endpoint."""

    model_config = ConfigDict(strict=True)

    sub: str
    email: str | None = None
    email_verified: bool = False


class _Address(BaseModel):
    email: Email


def find(services: Services, name: str) -> OidcProvider:
    provider = services.settings.oidc_providers.get(name)
    if provider is None:
        raise NotFound("No such provider.")
    return provider


async def metadata(services: Services, provider: OidcProvider) -> Metadata:
    """Raises ServiceUnavailable where the provider does not answer, or not for this issuer."""
    url = f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        found = Metadata.model_validate(await services.published.document(url))
    except ValidationError as error:
        raise _unfit("It describes itself in a way that we cannot use.") from error
    if not found.as_guarded_as(provider.issuer):
        raise _unfit("It names addresses that it cannot have.")
    if found.issuer != provider.issuer:  # exactly: another issuer's tokens would be taken for its
        raise _unfit("It calls itself another issuer than the one it is configured as.")
    return found


def client(services: Services, name: str, about: Metadata) -> Any:  # noqa: ANN401
    """Authlib's client: authorization code with PKCE S256, always."""
    provider = find(services, name)
    secret = provider.client_secret
    return AsyncOAuth2Client(
        client_id=provider.client_id,
        client_secret=secret.get_secret_value() if secret else None,
        token_endpoint_auth_method=_method(provider, about),
        scope=provider.scopes,
        redirect_uri=callback_address(services, name),
        code_challenge_method="S256",
        timeout=TIMEOUT_S,
        follow_redirects=False,
    )


def callback_address(services: Services, name: str) -> str:
    """Where the provider sends people back to; to be registered there, exactly so."""
    return f"{services.settings.base_url}/v1/auth/oidc/{name}/callback"


def _method(provider: OidcProvider, about: Metadata) -> str:
    if provider.client_secret is None:
        return "none"
    basic, methods = "client_secret_basic", about.token_endpoint_auth_methods_supported
    return "client_secret_post" if basic not in methods else basic


async def vouched(
    services: Services, name: str, about: Metadata, *, code: str, verifier: str, nonce: str
) -> Vouched:
    """Who signed in there, by the code that came back. Raises Unauthorized."""
    provider = find(services, name)
    try:
        async with client(services, name, about) as asking:
            answer = await asking.fetch_token(
                about.token_endpoint,
                grant_type="authorization_code",
                code=code,
                code_verifier=verifier,
            )
            claims = await _id_claims(services, provider, about, answer, nonce)
            if claims.email is None and about.userinfo_endpoint is not None:
                claims = await _asked(asking, about.userinfo_endpoint, claims)
    except OAuthError as error:
        log.warning("oidc_refused", provider=name, why=error.error)
        raise refused() from error
    except (httpx2.HTTPError, ValueError) as error:
        log.warning("oidc_failed", provider=name, why=type(error).__name__)
        raise _unfit("It does not answer now.") from error
    email = _plausible(claims.email)
    verified = email is not None and claims.email_verified
    return Vouched(provider.issuer, claims.sub, email, verified)


async def _id_claims(
    services: Services, provider: OidcProvider, about: Metadata, answer: Json, nonce: str
) -> Claims:
    """Signed by this issuer, for us, in answer to what this browser began."""
    claims = await outside_tokens.read(
        services.published,
        str(answer.get("id_token")),
        keys_at=about.jwks_uri,
        issuer=provider.issuer,
        audience=provider.client_id,
        types=TYPES,
    )
    ours = claims.get("azp", provider.client_id) == provider.client_id
    alone = isinstance(claims["aud"], str) or len(claims["aud"]) == 1 or "azp" in claims
    told = str(claims.get("nonce", "")).encode(errors="replace")
    if not (ours and alone and hmac.compare_digest(told, nonce.encode())):
        raise refused()
    return _read(claims)


async def _asked(asking: Any, endpoint: str, claims: Claims) -> Claims:  # noqa: ANN401
    """The address, which many providers tell there only; of the same person, or it is not used."""
    answer = await asking.get(endpoint)
    if answer.status_code != 200:
        return claims
    found = answer.json()
    return _read(found) if isinstance(found, dict) and found.get("sub") == claims.sub else claims


def _read(claims: Json) -> Claims:
    """Fields of a wrong type are as good as missing: "true" is not true."""
    try:
        return Claims.model_validate(claims)
    except ValidationError:
        return Claims(sub=claims["sub"])


def _plausible(email: str | None) -> str | None:
    try:
        return None if email is None else _Address(email=email).email
    except ValidationError:
        return None


def refused() -> Unauthorized:
    return Unauthorized("This sign-in is refused. Begin again.", code="oidc_refused")


def _unfit(detail: str) -> ServiceUnavailable:
    return ServiceUnavailable(f"The provider cannot be used now. {detail}", code="oidc_unavailable")
