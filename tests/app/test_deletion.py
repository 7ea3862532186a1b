"""Accounts end: after a while or at once, with all they hold, and with a receipt."""

import asyncio
import io
import json
from datetime import UTC, datetime

import httpx2
import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy import select

from app import audit
from app.analyses import queue
from app.errors import Unauthorized
from app.recordings import service as recordings
from app.sealing import digest
from app.security import User
from app.services import Services
from app.tables import Account, AuditEntry, DeletionReceipt, Event, Recording, Table
from app.users import presence
from app.users.me import deletion
from tests.app.conftest import client_with
from tests.app.people import PASSWORD, account, changed, letters, sign_in
from tests.app.test_flow import TAKE, uploaded
from tests.app.test_takeout import singer

Client = httpx2.AsyncClient
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def ask(client: Client, **body: object) -> httpx2.Response:
    return await client.post("/v1/me/deletion", json={"password": PASSWORD, **body})


async def ended(platform: Services) -> int:
    """What the upkeep does once doors have forgotten whom they knew."""
    first = await deletion.carry_out(platform)
    await asyncio.sleep(3 * platform.settings.account_cache_s)
    return first + await deletion.carry_out(platform)


async def left_of(platform: Services, user_id: str) -> dict[str, int]:
    """The rows in which the id occurs anywhere, by table."""
    found = {}
    async with platform.transaction() as session:
        for table in Table.metadata.sorted_tables:
            rows = [dict(row) for row in (await session.execute(select(table))).mappings()]
            if count := sum(user_id in json.dumps(row, default=str) for row in rows):
                found[table.name] = count
    return found


async def test_an_account_ends_with_all_it_holds_and_nobody_elses_goes_with_it(
    real_door: FastAPI, platform: Services
) -> None:
    user_id, ada = await singer(real_door, platform, "ada@example.org")
    other_id, bob = await singer(real_door, platform, "bob@example.org")
    theirs = await left_of(platform, other_id)
    [take] = (await ada.get("/v1/recordings")).json()["items"]

    answer = await ask(ada, at_once=True)
    assert answer.status_code == 202
    assert await ended(platform) == 1

    assert await left_of(platform, user_id) == {}
    assert await left_of(platform, other_id) == theirs
    assert not await platform.storage.exists(f"recordings/{take['id']}/master")
    async with platform.transaction() as session:
        topics = set(await session.scalars(select(Event.topic)))
        assert set(await session.scalars(select(Recording.owner_id))) == {other_id}
    assert len(topics) == 1
    assert (await bob.get("/v1/recordings")).json()["items"]
    assert (await sign_in(bob, "ada@example.org")).status_code == 401


async def test_the_receipt_is_signed_by_the_platform_and_names_nobody(
    real_door: FastAPI, platform: Services
) -> None:
    user_id, ada = await singer(real_door, platform, "ada@example.org")
    address = (await ask(ada, at_once=True)).headers["Location"]
    assert (await ada.get(address)).status_code == 404
    await ended(platform)

    receipt = (await client_with(real_door, None).get(address)).json()

    keys = KeySet.import_key_set((await ada.get("/.well-known/jwks.json")).json())
    signed = jwt.decode(receipt["signature"], keys, algorithms=["EdDSA"])
    assert signed.header["typ"] == "deletion-receipt+jwt"
    assert signed.claims["jti"] == receipt["id"] == address.rsplit("/", 1)[-1]
    assert signed.claims["sub"] == receipt["subject"] == digest(user_id)
    assert signed.claims["counts"] == receipt["counts"]
    assert (receipt["counts"]["recordings"], receipt["counts"]["analyses"]) == (1, 1)
    assert "ada" not in json.dumps(receipt)
    assert user_id not in json.dumps(receipt)
    [letter] = await letters(platform, "ada@example.org")
    assert receipt["signature"] in letter.body


async def test_until_its_time_has_come_an_account_can_be_kept(
    real_door: FastAPI, platform: Services
) -> None:
    _, ada = await singer(real_door, platform, "ada@example.org")
    asked = await ask(ada)
    days = (datetime.fromisoformat(asked.json()["delete_after"]) - datetime.now(UTC)).days
    assert days in (29, 30)
    assert await ended(platform) == 0
    assert (await ada.get("/v1/me")).json()["delete_after"] == asked.json()["delete_after"]
    again = await ask(ada)
    assert again.json() == asked.json()  # and not later

    for _ in range(2):
        kept = await ada.delete("/v1/me/deletion")
        assert (kept.status_code, kept.json()["delete_after"]) == (200, None)

    await uploaded(ada)


async def test_after_its_time_nobody_comes_in_and_it_goes(
    real_door: FastAPI, platform: Services
) -> None:
    user_id, ada = await singer(real_door, platform, "ada@example.org")
    await ask(ada)
    await changed(platform, user_id, delete_after=datetime.now(UTC))

    await deletion.carry_out(platform)
    await asyncio.sleep(2 * platform.settings.account_cache_s)
    refused = await ada.get("/v1/me")
    assert await ended(platform) == 1

    assert refused.status_code == 401
    assert await left_of(platform, user_id) == {}


async def test_whoever_has_no_password_deletes_nothing(
    real_door: FastAPI, platform: Services
) -> None:
    _, ada = await singer(real_door, platform, "ada@example.org")

    refused = await ask(ada, password="something else", at_once=True)

    assert (refused.status_code, refused.json()["code"]) == (401, "reauthentication_needed")
    assert (await ada.get("/v1/me")).json()["delete_after"] is None


async def test_an_upload_that_outlasts_the_account_is_not_kept(
    real_door: FastAPI, platform: Services
) -> None:
    """Its request was let in before; the sound has travelled; now the row is to be written."""
    user_id, ada = await singer(real_door, platform, "ada@example.org")
    await ask(ada, at_once=True)
    await ended(platform)

    with pytest.raises(Unauthorized):
        await recordings.create(platform, User(user_id), "late.wav", io.BytesIO(TAKE))

    assert await left_of(platform, user_id) == {}


async def test_an_analysis_in_a_workers_hands_leaves_nothing_behind(
    real_door: FastAPI, platform: Services
) -> None:
    user_id, ada = await singer(real_door, platform, "ada@example.org")
    [take] = (await ada.get("/v1/recordings")).json()["items"]
    await ada.post(f"/v1/recordings/{take['id']}/analyses")
    async with platform.transaction() as session:
        [claim] = await queue.claim(session, 1, lease_s=60, max_attempts=3)
    await ask(ada, at_once=True)

    assert await ended(platform) == 1

    async with platform.transaction() as session:
        assert not await queue.progress(session, claim, "pitch", "done")
        assert not await queue.finish(session, claim, {})
    assert await left_of(platform, user_id) == {}


async def test_what_operators_did_stays_under_ids_that_name_nobody(
    real_door: FastAPI, platform: Services
) -> None:
    user_id, ada = await singer(real_door, platform, "ada@example.org")
    async with platform.transaction() as session:
        audit.record(session, user_id, "rollout.promote", "rollouts:pitch", {})
        audit.record(session, "usr_admin", "user.disable", f"users:{user_id}", {})
    await ask(ada, at_once=True)

    await ended(platform)

    async with platform.transaction() as session:
        kept = set(await session.scalars(select(AuditEntry.action)))
    assert kept == {"rollout.promote", "user.disable"}
    assert await left_of(platform, user_id) == {"audit_log": 2}


async def test_somebody_stays_administrator(real_door: FastAPI, platform: Services) -> None:
    first, ada = await singer(real_door, platform, "ada@example.org")
    second, bob = await singer(real_door, platform, "bob@example.org")
    for user_id in (first, second):
        await changed(platform, user_id, roles=["admin"])

    assert (await ask(ada)).status_code == 202
    refused = await ask(bob)

    assert (refused.status_code, refused.json()["code"]) == (409, "last_administrator")


async def test_who_comes_again_under_an_old_id_is_welcome(platform: Services) -> None:
    """The administrator of a first start has the same id on each platform."""
    for _ in range(2):
        async with platform.transaction() as session:
            account = Account(id="usr_local", disabled_at=LONG_AGO, delete_after=LONG_AGO)
            session.add(account)
            await session.flush()
            await presence.assure(session, "usr_local")
        assert await deletion.carry_out(platform) == 1

    async with platform.transaction() as session:
        assert len(list(await session.scalars(select(DeletionReceipt.id)))) == 2


async def test_service_accounts_rest_when_nobody_answers_for_them_any_more(
    real_door: FastAPI, platform: Services
) -> None:
    user_id, ada = await singer(real_door, platform, "ada@example.org")
    program = await account(platform, "program@example.org", None)
    await changed(platform, program, is_service=True, owner_id=user_id)

    await ask(ada, at_once=True)

    async with platform.transaction() as session:
        orphan = await session.get_one(Account, program)
    assert orphan.disabled_at is not None
    assert (orphan.owner_id, orphan.epoch) == (None, 2)


async def test_they_rest_too_where_an_administrator_had_closed_the_account(
    real_door: FastAPI, platform: Services
) -> None:
    user_id, ada = await singer(real_door, platform, "ada@example.org")
    program = await account(platform, "program@example.org", None)
    await changed(platform, program, is_service=True, owner_id=user_id)
    await ask(ada)
    await changed(platform, user_id, disabled_at=LONG_AGO, delete_after=LONG_AGO)

    assert await ended(platform) == 1

    async with platform.transaction() as session:
        orphan = await session.get_one(Account, program)
    assert (orphan.disabled_at is None, orphan.owner_id) == (False, None)


async def test_two_upkeeps_at_once_end_an_account_once(
    real_door: FastAPI, platform: Services
) -> None:
    _, ada = await singer(real_door, platform, "ada@example.org")
    await ask(ada, at_once=True)
    await asyncio.sleep(3 * platform.settings.account_cache_s)

    ends = await asyncio.gather(deletion.carry_out(platform), deletion.carry_out(platform))

    assert sum(ends) == 1
    assert len(await letters(platform, "ada@example.org")) == 1
