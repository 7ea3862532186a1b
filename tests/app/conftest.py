"""Clients of the app: two singers at one platform."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import httpx2
import pytest
from fastapi import FastAPI

from app.main import create_app
from app.services import Services
from app.users.identity import identify

Client = httpx2.AsyncClient


def client_of(app: FastAPI, user: str) -> Client:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return Client(transport=transport, base_url="http://test", headers={"X-User": user})


def client_with(app: FastAPI, token: str | None) -> Client:
    """Somebody who shows this access token or API key."""
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return Client(transport=transport, base_url="http://test", headers=headers)


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
