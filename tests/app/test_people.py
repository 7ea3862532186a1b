"""Administrators give and take roles and close the door; somebody always stays administrator."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from app.permissions import SINGER, Permission
from app.security import LOCAL_USER, Role
from app.services import Services
from app.tables import Account, AuditEntry
from app.users import first_start
from app.users.keys import service as api_keys
from tests.app.conftest import Client, client_with
from tests.app.test_identity import someone


@pytest.fixture
async def admin(real_door: FastAPI, platform: Services) -> AsyncIterator[Client]:
    """The administrator of the first start, with the key of the file."""
    await first_start.prepare(platform.settings)
    key = platform.settings.admin_key.read_text().strip()
    async with client_with(real_door, key) as client:
        yield client


async def test_whoever_is_demoted_or_disabled_loses_it_within_seconds(
    admin: Client, real_door: FastAPI, platform: Services
) -> None:
    person, key = await someone(platform, Role.researcher)
    async with client_with(real_door, key) as client:

        async def now() -> int:
            await asyncio.sleep(2 * platform.settings.account_cache_s)
            return (await client.get("/v1/models")).status_code

        found = [await now()]
        for change in ("demote", "promote", "disable", "enable"):
            path = f"/v1/users/{person}"
            roles = {"demote": ["singer"], "promote": ["singer", "researcher"]}
            if change in roles:
                changed = await admin.patch(path, json={"roles": roles[change]})
            else:
                changed = await admin.post(f"{path}/{change}")
            assert changed.status_code == 200, changed.text
            found.append(await now())

    assert found == [200, 403, 200, 401, 200]
    async with platform.transaction() as session:
        account = await session.get_one(Account, person)
        told = await session.scalars(
            select(AuditEntry.action).where(AuditEntry.actor_id == LOCAL_USER)
        )
        assert account.epoch == 3  # of the demotion and the disabling
        assert [action for action in told if action != "user.first_start"] == [
            "user.roles",
            "user.roles",
            "user.disable",
            "user.enable",
        ]


async def test_somebody_stays_administrator_however_many_leave_at_once(
    admin: Client, platform: Services
) -> None:
    other, _ = await someone(platform, Role.admin)
    demoted = {"roles": ["singer"]}

    replies = await asyncio.gather(
        admin.patch(f"/v1/users/{other}", json=demoted),
        admin.patch(f"/v1/users/{LOCAL_USER}", json=demoted),
    )

    assert sorted(reply.status_code for reply in replies) == [200, 409]
    assert {reply.json().get("code") for reply in replies} == {None, "last_administrator"}


async def test_everybody_is_listed_in_pages_and_found_by_role_and_address(
    admin: Client, platform: Services
) -> None:
    ids = {(await someone(platform, Role.coach))[0] for _ in range(3)} | {LOCAL_USER}

    seen, cursor = set(), None
    while True:
        params = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = (await admin.get("/v1/users", params=params)).json()
        seen |= {item["id"] for item in page["items"]}
        if not (cursor := page["next_cursor"]):
            break
    coaches = (await admin.get("/v1/users", params={"role": "coach"})).json()["items"]
    found = (await admin.get("/v1/users", params={"email": "Admin@LocalHost"})).json()["items"]

    assert seen == ids
    assert len(coaches) == 3
    assert [item["id"] for item in found] == [LOCAL_USER]


@pytest.mark.parametrize("body", [{"roles": []}, {"roles": ["owner"]}, {"verified": True}, {}])
async def test_nothing_but_known_roles_can_be_given(admin: Client, body: dict[str, object]) -> None:
    assert (await admin.patch(f"/v1/users/{LOCAL_USER}", json=body)).status_code == 422


async def test_a_missing_user_is_missing(admin: Client) -> None:
    for user_id in ("usr_" + 32 * "0", "usr_%00", "rec_1"):
        assert (await admin.get(f"/v1/users/{user_id}")).status_code == 404


async def test_a_key_that_manages_users_is_no_way_to_all_that_an_administrator_may(
    real_door: FastAPI, platform: Services
) -> None:
    boss, _ = await someone(platform, Role.admin)
    person, _ = await someone(platform, Role.coach)
    scopes = ["users:manage", "coaching", *SINGER - {Permission.account}]
    async with platform.transaction() as session:
        key = api_keys.add(session, boss, name="desk", scopes=scopes).text
    async with client_with(real_door, key) as desk:
        more = [
            await desk.patch(f"/v1/users/{person}", json={"roles": ["coach", "admin"]}),
            await desk.patch(f"/v1/users/{person}", json={"roles": ["researcher"]}),
            await desk.post("/v1/service-accounts", json={"name": "x", "roles": ["admin"]}),
        ]
        within = await desk.patch(f"/v1/users/{person}", json={"roles": ["coach", "singer"]})
        less = await desk.patch(f"/v1/users/{boss}", json={"roles": ["admin"]})

    refusals = {(reply.status_code, reply.json()["code"]) for reply in more}
    assert refusals == {(403, "beyond_you")}
    assert [reply.status_code for reply in (within, less)] == [200, 200]


@pytest.mark.parametrize("email", ["\0", "a\0b@example.org", "ada", "x" * 300])
async def test_what_is_no_address_is_not_looked_for(admin: Client, email: str) -> None:
    assert (await admin.get("/v1/users", params={"email": email})).status_code == 422
