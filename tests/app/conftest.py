"""Clients of the app: two singers at one platform."""

from collections.abc import AsyncIterator, Callable

import httpx2
import pytest
from fastapi import FastAPI

from app.main import create_app
from app.services import Services

Client = httpx2.AsyncClient


def client_of(app: FastAPI, user: str) -> Client:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return Client(transport=transport, base_url="http://test", headers={"X-User": user})


@pytest.fixture
def door(platform: Services) -> FastAPI:
    return create_app(platform)


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
