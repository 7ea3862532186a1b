"""The real door: who comes in, with what, and for how long."""

import asyncio

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import update

from app.clock import now
from app.security import Role
from app.services import Services
from app.settings import Settings
from app.tables import Account
from app.users import accounts, api_keys
from tests.app.conftest import client_with
from tests.app.test_problems import check_problem

Client = httpx2.AsyncClient


async def someone(platform: Services, *roles: Role) -> tuple[str, str]:
    """A fresh account with these roles, and an API key of all its permissions."""
    async with platform.transaction() as session:
        account = await accounts.create(session, None, verified=False)
        account.roles = [*(roles or (Role.singer,))]
        return account.id, api_keys.add(session, account.id, name="test").text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer voc_nothing"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer " + "x" * 9000},
        {"X-User": "usr_ada"},
        {"X-Drill-User": "usr_ada"},
    ],
)
async def test_nobody_comes_in_without_good_credentials(
    stranger: Client, headers: dict[str, str]
) -> None:
    response = await stranger.get("/v1/recordings", headers=headers)

    check_problem(response, 401)
    assert response.headers["www-authenticate"].startswith("Bearer")


async def test_two_authorizations_are_none(platform: Services, real_door: FastAPI) -> None:
    _, key = await someone(platform)
    async with client_with(real_door, None) as client:
        both = [("Authorization", f"Bearer {key}"), ("Authorization", "Bearer voc_x")]
        check_problem(await client.get("/v1/recordings", headers=both), 401)


async def test_a_key_opens_what_its_account_may(platform: Services, real_door: FastAPI) -> None:
    _, key = await someone(platform)
    async with client_with(real_door, key) as singer:
        assert (await singer.get("/v1/recordings")).status_code == 200
        check_problem(await singer.get("/v1/models"), 403)


async def test_whoever_is_disabled_or_demoted_loses_access_within_seconds(
    platform: Services, real_door: FastAPI
) -> None:
    assert Settings().account_cache_s <= 4.0
    one, key = await someone(platform, Role.researcher)
    async with client_with(real_door, key) as client:
        assert (await client.get("/v1/models")).status_code == 200

        await change(platform, one, roles=[Role.singer])
        check_problem(await client.get("/v1/models"), 403)

        await change(platform, one, disabled_at=now())
        check_problem(await client.get("/v1/recordings"), 401)


async def change(platform: Services, account_id: str, **values: object) -> None:
    async with platform.transaction() as session:
        await session.execute(update(Account).where(Account.id == account_id).values(**values))
    await asyncio.sleep(2 * platform.settings.account_cache_s)
