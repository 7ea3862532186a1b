"""Profile: who somebody says they are, and how they want to have it here."""

import unicodedata
from functools import cache
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import PreconditionFailed, Unauthorized
from app.security import User
from app.tables import Account, Json
from models.engine import Options

VoiceType = Literal[
    "soprano", "mezzo_soprano", "contralto", "countertenor", "tenor", "baritone", "bass", "child"
]
MAX_LISTED = 20


def _one_line(text: str) -> str:
    if any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in text):
        raise ValueError("One line of text is expected, without control characters.")
    return text


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone(name: str) -> str:
    if name not in _zones():
        raise ValueError("A time zone of the IANA database is expected, such as Europe/Lisbon.")
    return name


Label = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_one_line)]
Goal = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
Language = Annotated[str, Field(max_length=35, pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]


class Part(BaseModel):
    """Of an account, kept as JSON: what is not known of it stays out."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Profile(Part):
    display_name: Label | None = Field(default=None, examples=["Ada"])
    voice_type: VoiceType | None = None
    pronouns: Label | None = Field(default=None, examples=["she/her"])
    languages: list[Language] = Field(default=[], max_length=MAX_LISTED, examples=[["en", "pt-BR"]])
    native_language: Language | None = Field(default=None, examples=["pt"])
    goals: list[Goal] = Field(default=[], max_length=MAX_LISTED, examples=[["A steadier vibrato"]])
    timezone: Annotated[str, Field(max_length=64), AfterValidator(_zone)] = Field(
        default="UTC", examples=["Europe/Lisbon"]
    )


class Notifications(Part):
    """Letters that may be sent. Those about the account's safety always are."""

    analyses: bool = False
    practice: bool = False
    coaching: bool = True
    community: bool = False


class Preferences(Part):
    units: Literal["metric", "imperial"] = "metric"
    a4_hz: float = Field(default=440.0, ge=415, le=466, description="Of analyses that name none.")
    notifications: Notifications = Notifications()


class Privacy(Part):
    retention_days: int | None = Field(
        default=None,
        ge=1,
        le=3650,
        description="Recordings older than this are deleted, with all "
        "that was measured on them. Null: they stay until they are deleted.",
    )
    analyse_and_forget: bool = Field(
        default=False,
        description="Uploads are analysed at once, then their sound is deleted; the measures stay.",
    )


class Settings(Part):
    """An account's `settings`."""

    preferences: Preferences = Preferences()
    privacy: Privacy = Privacy()


class Changes(Part):
    """What is named changes, what is left out stays."""

    profile: Profile = Profile()
    preferences: Preferences = Preferences()


async def own(session: AsyncSession, user: User, *, for_update: bool = False) -> Account:
    """Raises Unauthorized: the account may have gone since the token was looked at."""
    query = select(Account).where(Account.id == user.id)
    account = await session.scalar(query.with_for_update() if for_update else query)
    if account is None:
        raise Unauthorized("This account is not here any more.", code="account_deleted")
    return account


async def change(
    session: AsyncSession, user: User, changes: Changes, if_match: str | None
) -> Account:
    """Raises PreconditionFailed."""
    account = await own(session, user, for_update=True)
    expect(account, if_match)
    asked = changes.model_dump(mode="json", exclude_unset=True)
    kept = settings_of(account).model_dump(mode="json")
    preferences = _merged(kept["preferences"], asked.get("preferences", {}))
    account.profile = _merged(profile_of(account).model_dump(mode="json"), asked.get("profile", {}))
    account.settings = {**kept, "preferences": preferences}
    account.revision += 1
    return account


async def set_privacy(
    session: AsyncSession, user: User, privacy: Privacy, if_match: str | None
) -> Account:
    """Raises PreconditionFailed."""
    account = await own(session, user, for_update=True)
    expect(account, if_match)
    kept = settings_of(account).model_copy(update={"privacy": privacy})
    account.settings = kept.model_dump(mode="json")
    account.revision += 1
    return account


def profile_of(account: Account) -> Profile:
    return Profile.model_validate(account.profile)


def settings_of(account: Account) -> Settings:
    return Settings.model_validate(account.settings)


async def settings_of_id(session: AsyncSession, user_id: str) -> Settings:
    """The defaults where there is no such account."""
    found = await session.scalar(select(Account.settings).where(Account.id == user_id))
    return Settings.model_validate(found or {})


async def preferred(session: AsyncSession, user_id: str, options: Options) -> Options:
    """The options with what the user prefers where the request named nothing."""
    if "a4_hz" in options.model_fields_set:
        return options
    kept = await settings_of_id(session, user_id)
    return options.model_copy(update={"a4_hz": kept.preferences.a4_hz})


def etag(account: Account) -> str:
    return f'"{account.revision}"'


def expect(account: Account, if_match: str | None) -> None:
    """Raises PreconditionFailed: a change made in sight of another state is refused."""
    if if_match is None or if_match.strip() == "*":
        return
    if etag(account) not in (one.strip() for one in if_match.split(",")):
        raise PreconditionFailed("It has changed meanwhile: read it again, then change it.")


def _merged(kept: Json, asked: Json) -> Json:
    """RFC 7396, but that null is a value like any other."""
    merged = dict(kept)
    for name, value in asked.items():
        both = isinstance(value, dict) and isinstance(kept.get(name), dict)
        merged[name] = _merged(kept[name], value) if both else value
    return merged
