"""API keys: what they open, what they never open, and when they stop."""

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from sqlalchemy import select, update

from app.clock import now
from app.security import Role
from app.services import Services
from app.tables import Account, ApiKey
from app.users.keys import service as api_keys
from tests.app.conftest import Client, client_with
from tests.app.test_identity import someone


@pytest.fixture
async def ada_here(ada: Client, platform: Services) -> Client:
    async with platform.transaction() as session:
        session.add(Account(id="usr_ada", roles=[Role.singer]))
    return ada


@pytest.fixture
async def admin(real_door: FastAPI, platform: Services) -> AsyncIterator[Client]:
    _, key = await someone(platform, Role.admin)
    async with client_with(real_door, key) as client:
        yield client


async def made(client: Client, *scopes: str, **more: object) -> dict[str, str]:
    body = {"name": "choir app", "scopes": scopes, **more}
    reply = await client.post("/v1/me/api-keys", json=body)
    assert reply.status_code == 201, reply.text
    assert reply.headers["Cache-Control"] == "no-store"
    return dict(reply.json())


async def status(door: FastAPI, key: str, method: str, path: str) -> int:
    async with client_with(door, key) as client:
        body: dict[str, str] | None = {} if method == "POST" else None
        return (await client.request(method, path, json=body)).status_code


async def test_a_key_opens_what_its_scopes_say_and_nothing_that_is_done_in_person(
    ada_here: Client, real_door: FastAPI
) -> None:
    key = (await made(ada_here, "recordings:read"))["key"]

    assert await status(real_door, key, "GET", "/v1/recordings") == 200
    assert await status(real_door, key, "POST", "/v1/recordings/rec_1/analyses") == 403
    assert await status(real_door, key, "GET", "/v1/me/api-keys") == 403
    assert await status(real_door, key, "GET", "/v1/users") == 403


async def test_a_key_is_shown_once_listed_without_its_text_and_ends_when_it_is_revoked(
    ada_here: Client, real_door: FastAPI, platform: Services
) -> None:
    first, second = await made(ada_here, "analyze"), await made(ada_here, "recordings:read")
    await status(real_door, second["key"], "GET", "/v1/recordings")

    listed = (await ada_here.get("/v1/me/api-keys")).json()["items"]
    gone = [await ada_here.delete(f"/v1/me/api-keys/{second['id']}") for _ in range(2)]

    assert [item["id"] for item in listed] == [second["id"], first["id"]]
    assert listed[0]["used_at"] is not None
    assert listed[1]["used_at"] is None
    assert not any("key" in item for item in listed)
    assert [reply.status_code for reply in gone] == [204, 204]
    assert await status(real_door, second["key"], "GET", "/v1/recordings") == 401
    async with platform.transaction() as session:
        kept = await session.scalars(select(ApiKey.digest))
        assert first["key"] not in set(kept)


async def test_a_key_ends_when_its_time_is_over(
    ada_here: Client, real_door: FastAPI, platform: Services
) -> None:
    key = await made(ada_here, "recordings:read", expires_in_days=1)
    before = await status(real_door, key["key"], "GET", "/v1/recordings")
    async with platform.transaction() as session:
        await session.execute(update(ApiKey).values(expires_at=now()))

    assert before == 200
    assert await status(real_door, key["key"], "GET", "/v1/recordings") == 401


async def test_somebody_elses_key_looks_missing(ada_here: Client, bob: Client) -> None:
    key = await made(ada_here, "analyze")

    theirs = await bob.delete(f"/v1/me/api-keys/{key['id']}")
    missing = await bob.delete("/v1/me/api-keys/key_1")

    assert theirs.status_code == missing.status_code == 404
    assert theirs.json()["detail"] == missing.json()["detail"]


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({"scopes": ["users:manage"]}, 403),  # more than a singer may
        ({"scopes": ["account"]}, 422),  # never by a key
        ({"scopes": []}, 422),
        ({"scopes": ["analyze"], "user_id": "usr_bob"}, 422),
        ({"scopes": ["analyze"], "expires_in_days": 0}, 422),
    ],
)
async def test_nobody_gives_a_key_what_they_cannot_do(
    ada_here: Client, body: dict[str, object], refused: int
) -> None:
    reply = await ada_here.post("/v1/me/api-keys", json={"name": "x", **body})

    assert reply.status_code == refused, reply.text


async def test_an_account_has_so_many_keys_and_no_more(
    ada_here: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "MOST", 1)
    await made(ada_here, "analyze")

    reply = await ada_here.post("/v1/me/api-keys", json={"name": "x", "scopes": ["analyze"]})

    assert (reply.status_code, reply.json()["code"]) == (409, "too_many_keys")


async def test_a_service_account_comes_in_by_its_keys_within_its_roles(
    admin: Client, real_door: FastAPI
) -> None:
    body = {"name": "model bench", "roles": ["researcher"]}
    account = (await admin.post("/v1/service-accounts", json=body)).json()
    keys = f"/v1/service-accounts/{account['id']}/api-keys"
    asked = {"name": "ci", "scopes": ["models:read", "audit:read"]}

    key = (await admin.post(keys, json=asked)).json()
    found = [
        await status(real_door, key["key"], "GET", path) for path in ("/v1/models", "/v1/audit")
    ]
    listed = (await admin.get(keys)).json()["items"]
    await admin.delete(f"{keys}/{key['id']}")

    assert (account["is_service"], account["name"]) == (True, "model bench")
    assert found == [200, 403]
    assert [item["id"] for item in listed] == [key["id"]]
    assert await status(real_door, key["key"], "GET", "/v1/models") == 401


async def test_nobody_makes_keys_for_a_person(admin: Client, platform: Services) -> None:
    person, _ = await someone(platform)

    reply = await admin.get(f"/v1/service-accounts/{person}/api-keys")

    assert reply.status_code == 404
