"""People as the door makes them: they register, answer the letter, and sign in."""

import re
from dataclasses import replace
from datetime import timedelta

import httpx2
from fastapi import FastAPI
from sqlalchemy import select, update

from app.main import create_app
from app.services import Services
from app.tables import Account, Mail, RefreshToken
from app.users import accounts
from app.users.identity import identify
from app.users.keyring import Keyring
from app.users.standing import Standings
from tests.app.conftest import Client, client_with

PASSWORD = "a song for nine voices "  # the space at its end counts
EMAIL = "ada@example.org"

Tokens = dict[str, str]


async def account(platform: Services, email: str = EMAIL, password: str | None = PASSWORD) -> str:
    """The id of one whose address is verified."""
    hashed = None if password is None else await platform.passwords.hash(password)
    async with platform.transaction() as session:
        return (await accounts.create(session, email, verified=True, password_hash=hashed)).id


async def letters(platform: Services, to: str = EMAIL) -> list[Mail]:
    async with platform.transaction() as session:
        return list(await session.scalars(select(Mail).where(Mail.to == to).order_by(Mail.id)))


async def link(platform: Services, to: str = EMAIL) -> str:
    """The token of the latest letter that has one."""
    found = [re.search(r"#(\S+)", letter.body) for letter in await letters(platform, to)]
    return [match.group(1) for match in found if match][-1]


async def sign_in(client: Client, email: str = EMAIL, password: str = PASSWORD) -> httpx2.Response:
    return await client.post("/v1/auth/sign-in", json={"email": email, "password": password})


async def signed_in(client: Client, email: str = EMAIL, password: str = PASSWORD) -> Tokens:
    answer = await sign_in(client, email, password)
    assert answer.status_code == 200, answer.text
    tokens: Tokens = answer.json()
    return tokens


async def refresh(client: Client, tokens: Tokens) -> httpx2.Response:
    body = {"refresh_token": tokens["refresh_token"]}
    return await client.post("/v1/auth/refresh", json=body)


def bearer(tokens: Tokens | str) -> dict[str, str]:
    token = tokens if isinstance(tokens, str) else tokens["access_token"]
    return {"Authorization": f"Bearer {token}"}


async def opens(door: FastAPI, tokens: Tokens | str) -> int:
    """The status that a signed-in person's route answers to these."""
    token = tokens if isinstance(tokens, str) else tokens["access_token"]
    shown = [(b"Authorization", f"Bearer {token}".encode("latin-1"))]
    async with client_with(door, None) as client:
        return (await client.get("/v1/me/sessions", headers=shown)).status_code


async def later(platform: Services, seconds: float) -> None:
    """Refresh tokens that were used are older by so much."""
    async with platform.transaction() as session:
        used = update(RefreshToken).where(RefreshToken.used_at.is_not(None))
        await session.execute(
            used.values(used_at=RefreshToken.used_at - timedelta(seconds=seconds))
        )


def replica(platform: Services, cache_s: float = 3.0) -> FastAPI:
    """Another door to the same platform, that remembers nothing yet."""
    keys = Keyring(platform.sessions, platform.seal)
    standings = Standings(platform.sessions, cache_s)
    return create_app(replace(platform, identity=identify, keys=keys, standings=standings))


async def changed(platform: Services, account_id: str, **values: object) -> None:
    async with platform.transaction() as session:
        await session.execute(update(Account).where(Account.id == account_id).values(**values))
