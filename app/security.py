"""Who is asking. One local user until there are accounts: whoever signs people in replaces this."""

from dataclasses import dataclass
from typing import Protocol

from starlette.requests import HTTPConnection

LOCAL_USER = "usr_local"


@dataclass(frozen=True, slots=True)
class User:
    id: str


class Identity(Protocol):
    async def __call__(self, connection: HTTPConnection) -> User:
        """The one who asks. Raises app.errors.Unauthorized."""
        ...


async def local_user(connection: HTTPConnection) -> User:
    return User(LOCAL_USER)
