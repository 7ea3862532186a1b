"""Everything that is held of somebody, as a zip that only they can have."""

import io
import json
import zipfile
from datetime import UTC, datetime
from typing import Any

import httpx2
from fastapi import FastAPI
from sqlalchemy import update

from app import audit, ids
from app.services import Services
from app.tables import Account, AuditEntry, OneTimeToken, Recording
from app.users.me import held, takeout
from tests.app.conftest import client_with
from tests.app.people import PASSWORD, account, signed_in
from tests.app.test_flow import TAKE, queued, uploaded, work
from tests.fakes import analysis

Client = httpx2.AsyncClient


async def singer(door: FastAPI, platform: Services, email: str) -> tuple[str, Client]:
    """Somebody signed in, with a take and its analysis."""
    user_id = await account(platform, email)
    async with client_with(door, None) as client:
        tokens = await signed_in(client, email)
    client = client_with(door, tokens["access_token"])
    await queued(client, await uploaded(client, name="Übung 1.WAV"))
    await work(platform)
    return user_id, client


def recording_of(owner_id: str) -> Recording:
    recording_id = ids.new("rec")
    return Recording(
        id=recording_id, owner_id=owner_id, name="a.wav", key=f"recordings/{recording_id}/master",
        sha256="0" * 64, size_bytes=1, duration_s=1.0, channels=1,
    )  # fmt: skip


async def asked(client: Client, password: str = PASSWORD) -> httpx2.Response:
    return await client.post("/v1/me/takeout", json={"password": password})


async def downloaded(client: Client) -> zipfile.ZipFile:
    url = (await asked(client)).json()["url"]
    answer = await client.get(url, headers={"Authorization": ""})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/zip"
    return zipfile.ZipFile(io.BytesIO(answer.content))


def table(archive: zipfile.ZipFile, name: str) -> Any:  # noqa: ANN401
    return json.loads(archive.read(f"{name}.json"))


async def test_the_zip_has_every_table_and_every_sound_and_nobody_elses(
    real_door: FastAPI, platform: Services
) -> None:
    user_id, ada = await singer(real_door, platform, "ada@example.org")
    await singer(real_door, platform, "bob@example.org")

    archive = await downloaded(ada)

    assert archive.testzip() is None
    assert "README.txt" in archive.namelist()
    [recording] = table(archive, "recordings")
    assert (recording["owner_id"], recording["name"]) == (user_id, "Übung 1.WAV")
    assert archive.read(f"sound/{recording['id']}.wav") == TAKE
    assert [name for name in archive.namelist() if name.startswith("sound/")] == [
        f"sound/{recording['id']}.wav"
    ]
    [made] = table(archive, "analyses")
    assert made["result"] == analysis().model_dump(mode="json")
    [me] = table(archive, "users")
    assert (me["id"], me["email"]) == (user_id, "ada@example.org")
    assert len(table(archive, "sessions")) == 1
    assert {entry["actor_id"] for entry in table(archive, "audit_log")} == {user_id}
    copied = {f"{kept.table.__tablename__}.json" for kept in held.HELD if kept.copied}
    assert copied <= set(archive.namelist())


async def test_no_secret_of_the_platform_is_in_it(real_door: FastAPI, platform: Services) -> None:
    _, ada = await singer(real_door, platform, "ada@example.org")

    archive = await downloaded(ada)

    written = b"".join(archive.read(name) for name in archive.namelist())
    assert b"argon2" not in written
    for kept in held.HELD:
        for row in table(archive, kept.table.__tablename__) if kept.copied else ():
            assert not kept.secret & row.keys()


async def test_who_has_no_password_at_hand_gets_no_address(
    real_door: FastAPI, platform: Services
) -> None:
    _, ada = await singer(real_door, platform, "ada@example.org")

    refused = await asked(ada, "something else")

    assert (refused.status_code, refused.json()["code"]) == (401, "reauthentication_needed")


async def test_an_address_opens_for_minutes_and_again_if_the_download_broke(
    real_door: FastAPI, platform: Services
) -> None:
    _, ada = await singer(real_door, platform, "ada@example.org")
    url = (await asked(ada)).json()["url"]
    assert [(await ada.get(url)).status_code for _ in range(2)] == [200, 200]

    async with platform.transaction() as session:
        await session.execute(update(OneTimeToken).values(expires_at=datetime.now(UTC)))

    for gone in (url, "/v1/takeout?token=made-up"):
        answer = await ada.get(gone)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


async def test_lists_longer_than_a_page_are_whole(platform: Services) -> None:
    user_id = await account(platform)
    async with platform.transaction() as session:
        for number in range(1203):
            audit.record(session, user_id, "test", f"users:{user_id}", {"number": number})
        own = await session.get_one(Account, user_id)

    pieces = [piece async for piece in takeout.zipped(platform, own)]

    noted = table(zipfile.ZipFile(io.BytesIO(b"".join(pieces))), AuditEntry.__tablename__)
    assert [entry["details"]["number"] for entry in noted] == list(range(1203))


async def test_sound_goes_through_piece_by_piece(platform: Services) -> None:
    """8 MiB of it, and never two in hand."""
    user_id = await account(platform)
    async with platform.transaction() as session:
        session.add(large := recording_of(user_id))
        own = await session.get_one(Account, user_id)

    async def sound() -> Any:  # noqa: ANN401
        for number in range(8):
            yield bytes([number]) * 1024 * 1024

    await platform.storage.put(large.key, sound())

    pieces = [piece async for piece in takeout.zipped(platform, own)]

    assert max(map(len, pieces)) < 2 * 1024 * 1024
    archive = zipfile.ZipFile(io.BytesIO(b"".join(pieces)))
    assert archive.getinfo(f"sound/{large.id}.wav").file_size == 8 * 1024 * 1024


async def test_a_take_whose_sound_is_gone_is_in_the_list_only(platform: Services) -> None:
    user_id = await account(platform)
    async with platform.transaction() as session:
        session.add(lost := recording_of(user_id))
        own = await session.get_one(Account, user_id)

    pieces = [piece async for piece in takeout.zipped(platform, own)]

    archive = zipfile.ZipFile(io.BytesIO(b"".join(pieces)))
    assert [row["id"] for row in table(archive, "recordings")] == [lost.id]
    assert not [name for name in archive.namelist() if name.startswith("sound/")]
