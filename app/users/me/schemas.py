"""How one's own account looks to its owner, and what can be asked of it."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from app.consents import TERMS, Purpose
from app.security import Role
from app.tables import Account, Consent
from app.users.me import profile
from app.users.me.profile import Preferences, Privacy, Profile
from app.users.schemas import Asked, Password


class MeOut(BaseModel):
    id: str = Field(examples=["usr_01932c9be0d47a4fb5b1c9a0f0f6e1a2"])
    email: str | None
    email_verified: bool
    roles: list[Role]
    profile: Profile
    preferences: Preferences
    privacy: Privacy
    delete_after: datetime | None = Field(
        description="When the account is deleted; until then it can be taken back."
    )
    created_at: datetime

    @classmethod
    def of(cls, account: Account) -> Self:
        settings = profile.settings_of(account)
        return cls(
            id=account.id,
            email=account.email,
            email_verified=account.verified_at is not None,
            roles=[Role(role) for role in account.roles],
            profile=profile.profile_of(account),
            preferences=settings.preferences,
            privacy=settings.privacy,
            delete_after=account.delete_after,
            created_at=account.created_at,
        )


class ConsentOut(BaseModel):
    purpose: Purpose
    given: bool
    since: datetime | None = Field(description="Null: nothing was ever said.")
    text: str
    text_version: str = Field(examples=["2026-11"])

    @classmethod
    def of(cls, purpose: Purpose, said: Consent | None) -> Self:
        terms = TERMS[purpose]
        given = terms.unasked if said is None else said.withdrawn_at is None
        since = said and (said.withdrawn_at or said.granted_at)
        return cls(
            purpose=purpose, given=given, since=since, text=terms.text, text_version=terms.version
        )


class ConsentList(BaseModel):
    items: list[ConsentOut]


class ConsentIn(Asked):
    given: bool
    text_version: str = Field(
        max_length=20, examples=["2026-11"], description="Of the text that was shown."
    )


class ConsentChangeOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    purpose: Purpose
    given: bool
    text_version: str
    created_at: datetime


class ConsentHistory(BaseModel):
    items: list[ConsentChangeOut]
    next_cursor: str | None


class ProofIn(Asked):
    """That it is really you."""

    password: Password | None = Field(
        default=None,
        description="Null where the account has none: then sign in again, just before.",
    )


class TakeoutOut(BaseModel):
    url: str = Field(
        examples=["/v1/takeout?token=..."],
        description="A zip of everything, for who has this address: keep it to yourself.",
    )
    expires_at: datetime


class DeletionIn(ProofIn):
    at_once: bool = Field(
        default=False, description="Without the time in which it can be taken back."
    )


class DeletionOut(BaseModel):
    receipt_id: str = Field(examples=["del_01932c9be0d47a4fb5b1c9a0f0f6e1a2"])
    delete_after: datetime


class ReceiptOut(BaseModel):
    """That an account and all of it was deleted. It names nobody."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    subject: str = Field(description="SHA-256 of the account's id.")
    counts: dict[str, int] = Field(description="Rows by table; a recording's sound goes with it.")
    signature: str = Field(
        description="A JWS (typ deletion-receipt+jwt) of the same, by a key of jwks.json."
    )
    created_at: datetime
