"""The real door: who comes in, with what, and for how long."""

import asyncio

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import update
from starlette.requests import HTTPConnection

from app.clock import now
from app.errors import Forbidden
from app.security import Role, User
from app.services import Services
from app.settings import Settings
from app.tables import Account
from app.users import accounts, sessions
from app.users.keys import service as api_keys
from tests.app import people
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


async def test_an_access_token_dies_with_its_device_and_with_its_epoch(
    platform: Services, real_door: FastAPI
) -> None:
    async with platform.transaction() as session:
        account = await accounts.create(session, "ada@example.org", verified=True)
    for end in (signed_out, raised):
        token = await signed_in(platform, real_door, account)
        async with client_with(real_door, token) as client:
            assert (await client.get("/v1/recordings")).status_code == 200
            await end(platform, account)
            await asyncio.sleep(2 * platform.settings.account_cache_s)
            check_problem(await client.get("/v1/recordings"), 401)


async def signed_in(platform: Services, app: FastAPI, account: Account) -> str:
    scope = {"type": "http", "headers": [], "client": ("192.0.2.1", 1), "app": app}
    async with platform.transaction() as session:
        found = await accounts.find(session, account.id)
        opened = await sessions.open(platform, session, found, ["password"], HTTPConnection(scope))
    return opened.access_token


async def signed_out(platform: Services, account: Account) -> None:
    async with platform.transaction() as session:
        for device in await sessions.every(session, User(account.id)):
            await sessions.revoke(session, device, "a test")


async def raised(platform: Services, account: Account) -> None:
    async with platform.transaction() as session:
        await session.execute(update(Account).values(epoch=Account.epoch + 1))


async def change(platform: Services, account_id: str, **values: object) -> None:
    async with platform.transaction() as session:
        await session.execute(update(Account).where(Account.id == account_id).values(**values))
    await asyncio.sleep(2 * platform.settings.account_cache_s)


async def test_an_account_that_is_closed_while_somebody_signs_in_stays_closed(
    platform: Services, real_door: FastAPI
) -> None:
    async with platform.transaction() as session:
        account = await accounts.create(session, "ada@example.org", verified=True)
    await change(platform, account.id, disabled_at=now())
    scope = {"type": "http", "headers": [], "client": ("192.0.2.1", 1), "app": real_door}

    with pytest.raises(Forbidden):
        async with platform.transaction() as session:
            await sessions.open(platform, session, account, ["passkey"], HTTPConnection(scope))


async def test_who_was_signed_out_makes_nothing_more_however_well_they_are_remembered(
    platform: Services, stranger: Client
) -> None:
    """A key that was made in the seconds of the cache would open the door for ever."""
    await people.account(platform)
    shown = people.bearer(await people.signed_in(stranger))
    wanted = {"name": "harvest", "scopes": ["analyze"]}
    async with client_with(people.replica(platform, cache_s=60), None) as elsewhere:
        before = await elsewhere.get("/v1/me", headers=shown)
        await stranger.post("/v1/auth/sign-out-everywhere", headers=shown)
        after = await elsewhere.post("/v1/me/api-keys", json=wanted, headers=shown)
        again = await elsewhere.get("/v1/me", headers=shown)

    assert before.status_code == 200
    check_problem(after, 401)
    check_problem(again, 401)
