"""Refresh tokens: rotated, shared by tabs that race, and fatal to their session when stolen."""

import asyncio

from fastapi import FastAPI
from sqlalchemy import func, select, update

from app import clock
from app.sealing import digest
from app.services import Services
from app.tables import AuditEntry, RefreshToken, SignIn
from tests.app.conftest import Client
from tests.app.people import (
    account,
    bearer,
    changed,
    later,
    letters,
    opens,
    refresh,
    replica,
    sign_in,
    signed_in,
)


async def rows(platform: Services) -> list[RefreshToken]:
    async with platform.transaction() as session:
        return list(await session.scalars(select(RefreshToken).order_by(RefreshToken.created_at)))


async def test_each_refresh_gives_another_token_and_the_session_goes_on(
    platform: Services, stranger: Client, real_door: FastAPI
) -> None:
    await account(platform)
    first = await signed_in(stranger)

    second = (await refresh(stranger, first)).json()
    third = (await refresh(stranger, second)).json()

    assert len({pair["refresh_token"] for pair in (first, second, third)}) == 3
    assert len({pair["access_token"] for pair in (first, second, third)}) == 3
    assert {await opens(real_door, pair) for pair in (first, second, third)} == {200}


async def test_the_database_alone_gives_nobody_a_token(
    platform: Services, stranger: Client
) -> None:
    await account(platform)
    first = await signed_in(stranger)
    second = (await refresh(stranger, first)).json()

    kept = repr([(row.digest, row.child) for row in await rows(platform)])

    assert digest(second["refresh_token"]) in kept
    assert first["refresh_token"] not in kept
    assert second["refresh_token"] not in kept


async def test_tabs_that_refresh_at_once_get_the_same_child(
    platform: Services, stranger: Client
) -> None:
    await account(platform)
    first = await signed_in(stranger)

    answers = await asyncio.gather(*(refresh(stranger, first) for _ in range(8)))
    late = await refresh(stranger, first)

    assert {answer.status_code for answer in (*answers, late)} == {200}
    assert len({answer.json()["refresh_token"] for answer in (*answers, late)}) == 1
    assert len(await rows(platform)) == 2  # the parent and one child


async def test_a_token_that_comes_back_after_the_grace_ends_its_whole_session(
    platform: Services, stranger: Client
) -> None:
    await account(platform)
    first = await signed_in(stranger)
    other_device = await signed_in(stranger)
    second = (await refresh(stranger, first)).json()
    third = (await refresh(stranger, second)).json()
    await later(platform, 11)

    reused = await refresh(stranger, first)

    assert (reused.status_code, reused.json()["code"]) == (401, "invalid_token")
    assert (await refresh(stranger, third)).status_code == 401
    assert (await refresh(stranger, first)).status_code == 401
    door = replica(platform)
    assert {await opens(door, pair) for pair in (first, second, third)} == {401}
    assert await opens(door, other_device) == 200
    assert (await refresh(stranger, other_device)).status_code == 200
    assert [letter.subject for letter in await letters(platform)] == ["A device was signed out"]
    async with platform.transaction() as session:
        events = select(func.count()).where(AuditEntry.action == "session.reuse")
        assert await session.scalar(events) == 1


async def test_nobody_is_written_to_at_an_address_that_was_not_verified(
    platform: Services, stranger: Client
) -> None:
    user_id = await account(platform)
    first = await signed_in(stranger)
    await refresh(stranger, first)
    await changed(platform, user_id, verified_at=None, email_key=None)
    await later(platform, 11)

    assert (await refresh(stranger, first)).status_code == 401
    assert await letters(platform) == []


async def test_a_device_that_was_away_for_too_long_signs_in_again(
    platform: Services, stranger: Client
) -> None:
    await account(platform)
    pair = await signed_in(stranger)

    async with platform.transaction() as session:
        await session.execute(update(SignIn).values(expires_at=clock.now()))

    assert (await refresh(stranger, pair)).status_code == 401


async def test_what_is_no_refresh_token_refreshes_nothing(
    platform: Services, stranger: Client
) -> None:
    await account(platform)
    pair = await signed_in(stranger)

    for token in ("nothing", pair["access_token"][:190], pair["refresh_token"] + "x"):
        assert (await refresh(stranger, {"refresh_token": token})).status_code == 401


async def test_one_ends_devices_one_by_one_or_all_at_once(
    platform: Services, stranger: Client
) -> None:
    await account(platform)
    phone, laptop, tablet = [await signed_in(stranger) for _ in range(3)]
    listed = await stranger.get("/v1/me/sessions", headers=bearer(laptop))
    newest = listed.json()["items"][0]

    ended = await stranger.delete(f"/v1/me/sessions/{newest['id']}", headers=bearer(laptop))

    assert ended.status_code == 204
    assert [row["current"] for row in listed.json()["items"]] == [False, True, False]
    assert [await opens(replica(platform), each) for each in (phone, laptop, tablet)] == [
        200,
        200,
        401,
    ]
    await stranger.post("/v1/auth/sign-out-everywhere", headers=bearer(laptop))
    assert {await opens(replica(platform), each) for each in (phone, laptop)} == {401}
    assert {(await refresh(stranger, each)).status_code for each in (phone, laptop)} == {401}
    assert (await sign_in(stranger)).status_code == 200


async def test_nobody_ends_somebody_elses_device(platform: Services, stranger: Client) -> None:
    await account(platform)
    await account(platform, "bob@example.org")
    ada, bob = await signed_in(stranger), await signed_in(stranger, "bob@example.org")
    of_ada = (await stranger.get("/v1/me/sessions", headers=bearer(ada))).json()["items"]

    answer = await stranger.delete(f"/v1/me/sessions/{of_ada[0]['id']}", headers=bearer(bob))

    assert answer.status_code == 404
    assert len(of_ada) == 1
    assert await opens(replica(platform), ada) == 200
