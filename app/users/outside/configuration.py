"""What an operator says of those outside who vouch for people: providers and issuers."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def guarded(address: str) -> bool:
    """Whether nobody on the way can change what is said there."""
    parts = urlsplit(address)
    plain = parts.scheme == "http" and parts.hostname in LOOPBACK
    return bool(parts.hostname) and (parts.scheme == "https" or plain)


def _guarded(address: str) -> str:
    parts = urlsplit(address)
    if not guarded(address) or parts.username or parts.query or parts.fragment:
        raise ValueError("an https address without user, query or fragment is needed")
    return address


def _returnable(address: str) -> str:
    """A page of ours, or an app by a scheme of its own (RFC 8252: a name with a dot)."""
    parts = urlsplit(address)
    app = "." in parts.scheme
    if not (guarded(address) or app) or parts.username is not None or "#" in address:
        raise ValueError("https, or an app's own scheme, without user or fragment is needed")
    return address


ReturnAddress = Annotated[str, AfterValidator(_returnable)]
Address = Annotated[str, AfterValidator(_guarded)]
ProviderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]


class OidcProvider(BaseModel):
    """Where people may sign in instead of here: any OpenID Connect provider."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: Address = Field(description="Exactly as the provider writes it in its tokens.")
    client_id: str
    client_secret: SecretStr | None = Field(default=None, description="None: a public client.")
    label: str | None = Field(default=None, description="As people know it; None: its name.")
    scopes: str = "openid email profile"
    links_email: bool = Field(
        default=False,
        description="Whether an address that it calls verified opens the account which has it. "
        "Only for providers that you would let reset anybody's password.",
    )


class OutsideIssuer(BaseModel):
    """Who else's access tokens are taken: an issuer with a JWKS, a Supabase project say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: Address = Field(description="Exactly as it stands in `iss`.")
    audience: str = Field(description="Exactly as it stands in `aud`.")
    jwks_url: Address | None = Field(
        default=None, description="None: <issuer>/.well-known/jwks.json."
    )
    claims: dict[str, str] = Field(
        default={}, description='Claims that must be so, e.g. {"role": "authenticated"}.'
    )

    @property
    def keys_at(self) -> str:
        return self.jwks_url or f"{self.issuer.rstrip('/')}/.well-known/jwks.json"
