"""How second factors look from outside, and what may be asked of them."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from app.tables import Json
from app.users.factors.service import Kind
from app.users.schemas import Asked, Password, Token

# Read in terminals and pages: nothing that either would obey.
Label = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        max_length=60,
        pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]*$",
    ),
]
Code = Annotated[str, Field(pattern=r"^[0-9]{6}$", examples=["287082"])]
Base64Url = Annotated[str, Field(min_length=1, max_length=8192, pattern=r"^[A-Za-z0-9_-]+$")]


class Confirmed(Asked):
    """A change of factors is asked for by who can prove to be the owner."""

    password: Password | None = Field(
        default=None, description="None where the account has none: then sign in just before."
    )


class TotpIn(Confirmed):
    label: Label = ""


class CodeIn(Asked):
    code: Code


class Browsers(BaseModel):
    """What a browser makes of a passkey (WebAuthn): its names, and its liberty to add some."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="ignore")


class Attestation(Browsers):
    client_data_json: Base64Url = Field(alias="clientDataJSON")
    attestation_object: Annotated[str, Field(max_length=65536, pattern=r"^[A-Za-z0-9_-]+$")]


class Assertion(Browsers):
    client_data_json: Base64Url = Field(alias="clientDataJSON")
    authenticator_data: Base64Url
    signature: Base64Url
    user_handle: Base64Url | None = None


class Credential(Browsers):
    id: Annotated[str, Field(max_length=1400, pattern=r"^[A-Za-z0-9_-]+$")]
    raw_id: Annotated[str, Field(max_length=1400, pattern=r"^[A-Za-z0-9_-]+$")]
    type: str = Field(pattern="^public-key$")


class NewPasskey(Credential):
    """PublicKeyCredential.toJSON() after navigator.credentials.create()."""

    response: Attestation


class ShownPasskey(Credential):
    """PublicKeyCredential.toJSON() after navigator.credentials.get()."""

    response: Assertion


class PasskeyIn(Asked):
    label: Label = ""
    passkey: NewPasskey


class PasskeySignInIn(Asked):
    passkey: ShownPasskey


class BetweenStepsIn(Asked):
    mfa_token: Token


class SecondStepIn(BetweenStepsIn):
    """The token of the first step, and one proof."""

    code: Code | None = None
    recovery_code: str | None = Field(
        default=None, min_length=8, max_length=64, repr=False, examples=["abcd-efgh-ijkl-mnop"]
    )
    passkey: ShownPasskey | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = (self.code, self.recovery_code, self.passkey)
        if sum(proof is not None for proof in given) != 1:
            raise ValueError("one of code, recovery_code and passkey is needed")
        return self


class FactorOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    kind: Kind
    label: str
    created_at: datetime
    used_at: datetime | None


class FactorsOut(BaseModel):
    items: list[FactorOut] = Field(description="Newest first.")
    recovery_codes_left: int


class CodesOut(BaseModel):
    """Shown this once."""

    recovery_codes: list[str] | None = Field(
        repr=False, description="None: those from before are good still."
    )


class PasskeyOut(CodesOut):
    factor: FactorOut


class OptionsOut(BaseModel):
    """For PublicKeyCredential.parseCreationOptionsFromJSON, or parseRequestOptionsFromJSON."""

    public_key: Json
