"""Who is asking, and how a connection is told apart; app.permissions says what each may do."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from starlette.requests import HTTPConnection

LOCAL_USER = "usr_local"  # the administrator whom a laptop's first start makes


class Role(StrEnum):
    """What somebody is here; app.permissions says what each may do."""

    singer = "singer"
    coach = "coach"  # sees singers who accepted an invitation
    researcher = "researcher"  # models: rollouts, retraining, reanalysis
    admin = "admin"  # all of it


@dataclass(frozen=True, slots=True)
class User:
    """Who asks, as one request sees them."""

    id: str
    roles: frozenset[Role] = frozenset()
    scopes: frozenset[str] | None = None  # of the API key that was shown; None: it was no key
    session_id: str | None = None  # of the signed-in device


class Identity(Protocol):
    async def __call__(self, connection: HTTPConnection) -> User:
        """The one who asks. Raises app.errors.Unauthorized."""
        ...
