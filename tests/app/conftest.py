"""Clients of the app: two singers at one platform."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import httpx2
import pytest
from fastapi import FastAPI

from app.main import create_app
from app.services import Services
from app.users.identity import identify
from tests.promised import promised

Client = httpx2.AsyncClient


def client_of(app: FastAPI, user: str) -> Client:
    return _client(app, {"X-User": user})


def client_with(app: FastAPI, token: str | None) -> Client:
    """Somebody who shows this access token or API key."""
    return _client(app, {"Authorization": f"Bearer {token}"} if token else {})


def _client(app: FastAPI, headers: dict[str, str]) -> Client:
    return Client(
        transport=httpx2.ASGITransport(app=app, raise_app_exceptions=False),
        base_url="http://test",
        headers=headers,
        event_hooks={"response": [promised]},
    )


@pytest.fixture
def door(platform: Services) -> FastAPI:
    return create_app(platform)


@pytest.fixture
def real_door(platform: Services) -> FastAPI:
    """The door as it is served: nobody comes in without credentials."""
    return create_app(replace(platform, identity=identify))


@pytest.fixture
async def stranger(real_door: FastAPI) -> AsyncIterator[Client]:
    """Somebody at the real door with no credentials yet."""
    async with client_with(real_door, None) as client:
        yield client


@pytest.fixture
async def ada(door: FastAPI) -> AsyncIterator[Client]:
    async with client_of(door, "usr_ada") as client:
        yield client


@pytest.fixture
async def bob(door: FastAPI) -> AsyncIterator[Client]:
    async with client_of(door, "usr_bob") as client:
        yield client


@pytest.fixture
def as_user(door: FastAPI) -> Callable[[str], Client]:
    return lambda user: client_of(door, user)
