"""What the routes of signing in take and give."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.users.passwords import LONGEST, SHORTEST

_PART = r"[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]"
Email = Annotated[
    str,
    Field(
        max_length=254, pattern=rf"^{_PART}{{1,64}}@{_PART}{{1,189}}$", examples=["ada@example.org"]
    ),
]
Password = Annotated[str, Field(min_length=1, max_length=LONGEST)]
NewPassword = Annotated[
    str,
    Field(
        min_length=SHORTEST,
        max_length=LONGEST,
        description="Taken exactly as it is. Common ones are refused.",
    ),
]
Token = Annotated[str, Field(min_length=1, max_length=200)]


class Asked(BaseModel):
    """Unknown fields are refused, and a 0 is no `false`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RegisterIn(Asked):
    email: Email
    password: NewPassword


class TokenIn(Asked):
    token: Token


class SignInIn(Asked):
    email: Email
    password: Password


class RefreshIn(Asked):
    refresh_token: Token


class EmailIn(Asked):
    email: Email


class ResetIn(Asked):
    token: Token
    password: NewPassword


class PasswordChangeIn(Asked):
    password: NewPassword
    current_password: Password | None = Field(
        default=None, description="None where the account has none."
    )


class EmailChangeIn(Asked):
    email: Email
    password: Password | None = Field(default=None, description="None where the account has none.")


class TokensOut(BaseModel):
    access_token: str
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int = Field(description="Seconds.", examples=[600])
    refresh_token: str


class MfaNeeded(BaseModel):
    """The password was right; the session opens with one of these methods."""

    mfa_required: Literal[True] = True
    mfa_token: str
    methods: list[str] = Field(examples=[["totp", "passkey"]])


class Accepted(BaseModel):
    """The same whether there is such an account or not."""

    detail: str


class SessionOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    device: str
    address: str
    factors: list[str]
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    current: bool = False


class SessionsOut(BaseModel):
    items: list[SessionOut]


class JwkOut(BaseModel):
    kty: str
    crv: str
    x: str
    kid: str
    use: str
    alg: str


class JwksOut(BaseModel):
    keys: list[JwkOut]
