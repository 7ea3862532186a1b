"""How identities outside look from here, and what may be asked of them."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.users.schemas import Asked, Password, Token

Challenge = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_-]{43}$",
        description="SHA-256 of the app's secret, base64url (RFC 7636).",
        examples=["E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"],
    ),
]


class DepartureIn(Asked):
    return_to: str = Field(
        max_length=2000, description="Exactly one of the addresses that the operator has listed."
    )
    code_challenge: Challenge
    code_challenge_method: Literal["S256"]


class BackFromProvider(BaseModel):
    """What a provider adds to the callback's address; some add more, which is left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: Token
    code: str | None = Field(default=None, max_length=4096)
    iss: str | None = Field(default=None, max_length=2000)
    error: str | None = Field(default=None, max_length=200)


class ExchangeIn(Asked):
    """The code that came with the return address, and the secret behind the challenge."""

    code: Token
    code_verifier: str = Field(pattern=r"^[A-Za-z0-9._~-]{43,128}$", repr=False)


class LinkIn(ExchangeIn):
    password: Password | None = Field(
        default=None, description="None where the account has none: then sign in just before."
    )


class ProviderOut(BaseModel):
    name: str = Field(examples=["google"])
    label: str = Field(examples=["Google"])
    start: str = Field(
        description="Where to send the browser, with return_to, code_challenge and "
        "code_challenge_method=S256.",
        examples=["/v1/auth/oidc/google/start"],
    )


class ProvidersOut(BaseModel):
    items: list[ProviderOut]


class IdentityOut(BaseModel):
    id: str
    issuer: str
    email: str | None = Field(description="As it was told there.")
    created_at: datetime


class IdentitiesOut(BaseModel):
    items: list[IdentityOut]
