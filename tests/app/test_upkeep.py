"""What has to go goes, and nothing else."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from sqlalchemy import select, update

from app import upkeep
from app.mail import MAX_ATTEMPTS
from app.services import Services
from app.tables import (
    Account,
    AnalysisRow,
    Event,
    IdempotencyKey,
    Mail,
    OneTimeToken,
    Recording,
    RefreshToken,
    SignIn,
)
from models.audio import UnreadableAudio
from tests.app.test_flow import TAKE, queued, uploaded, work
from tests.fakes import FakeAnalyzer, raising

Client = httpx2.AsyncClient
FORGET = {"analyse_and_forget": True}


@pytest.fixture(autouse=True)
async def accounts(platform: Services) -> None:
    async with platform.transaction() as session:
        session.add_all([Account(id="usr_ada"), Account(id="usr_bob")])


async def older(platform: Services, recording_id: str, days: float) -> None:
    then = datetime.now(UTC) - timedelta(days=days)
    async with platform.transaction() as session:
        aged = update(Recording).where(Recording.id == recording_id)
        await session.execute(aged.values(created_at=then))


async def has_sound(platform: Services, recording_id: str) -> bool:
    return await platform.storage.exists(f"recordings/{recording_id}/master")


async def rows(platform: Services, table: type[AnalysisRow | Event | Recording]) -> int:
    async with platform.transaction() as session:
        return len(list(await session.scalars(select(table.id))))


async def test_an_upload_is_analysed_and_its_sound_forgotten(
    ada: Client, platform: Services
) -> None:
    kept = await uploaded(ada)  # before the mode was chosen
    await ada.put("/v1/me/privacy", json=FORGET)
    await ada.patch("/v1/me", json={"preferences": {"a4_hz": 442}})
    take = await uploaded(ada)

    await upkeep.forget(platform)
    assert await has_sound(platform, take)
    assert await work(platform) == 1
    await upkeep.forget(platform)

    assert not await has_sound(platform, take)
    assert await has_sound(platform, kept)
    shown = (await ada.get(f"/v1/recordings/{take}")).json()
    assert shown["sound_deleted_at"] is not None
    async with platform.transaction() as session:
        [made] = await session.scalars(select(AnalysisRow))
    found = (await ada.get(f"/v1/analyses/{made.id}")).json()
    assert (found["state"], found["recording_id"]) == ("done", take)
    assert found["options"]["a4_hz"] == 442
    again = await ada.post(f"/v1/recordings/{take}/analyses")
    assert (again.status_code, again.json()["code"]) == (409, "sound_deleted")


async def test_sound_is_forgotten_also_when_it_could_not_be_analysed(
    ada: Client, platform: Services, analyzer: FakeAnalyzer
) -> None:
    await ada.put("/v1/me/privacy", json=FORGET)
    analyzer.before = raising(UnreadableAudio("damaged_audio", "It breaks off."))
    take = await uploaded(ada)

    await work(platform)
    await upkeep.forget(platform)

    assert not await has_sound(platform, take)


async def test_what_may_not_be_analysed_is_not_taken_in_to_be_forgotten(
    ada: Client, platform: Services
) -> None:
    await ada.put("/v1/me/privacy", json=FORGET)
    no = {"given": False, "text_version": "2026-11"}
    await ada.put("/v1/me/consents/analysis", json=no)

    refused = await ada.post("/v1/recordings", files={"file": ("take.wav", TAKE)})

    assert (refused.status_code, refused.json()["code"]) == (403, "consent_withdrawn")
    assert await rows(platform, Recording) == 0
    assert not [p for p in (platform.settings.home / "objects").rglob("*") if p.is_file()]


async def test_recordings_become_as_old_as_their_owner_wants(
    ada: Client, bob: Client, platform: Services
) -> None:
    old, young, theirs = await uploaded(ada), await uploaded(ada), await uploaded(bob)
    await queued(ada, old)
    await work(platform)
    for take, days in ((old, 8), (young, 6), (theirs, 500)):
        await older(platform, take, days)

    await upkeep.retire(platform)
    assert await rows(platform, Recording) == 3
    await ada.put("/v1/me/privacy", json={"retention_days": 7})
    await upkeep.retire(platform)

    assert (await ada.get(f"/v1/recordings/{old}")).status_code == 404
    await upkeep.purge(platform)
    left = [await has_sound(platform, take) for take in (old, young, theirs)]
    assert left == [False, True, True]
    assert (await rows(platform, Recording), await rows(platform, AnalysisRow)) == (2, 0)
    assert await rows(platform, Event) == 0


async def test_what_nobody_can_use_any_more_goes(platform: Services) -> None:
    soon, old = datetime.now(UTC) + timedelta(days=1), datetime.now(UTC) - timedelta(days=40)
    async with platform.transaction() as session:
        for name, then in (("new", soon), ("old", old)):
            session.add_all(
                [
                    IdempotencyKey(user_id="usr_ada", key=name, fingerprint="", created_at=then),
                    OneTimeToken(digest=name, purpose="reset", expires_at=then),
                    Mail(to=name, subject="", body="", sent_at=then),
                    SignIn(
                        id=name, user_id="usr_ada", client_id="", device="", address="",
                        factors=[], expires_at=then,
                    ),
                ]
            )  # fmt: skip
            await session.flush()
            session.add(RefreshToken(digest=name, session_id="new", expires_at=then))

    await upkeep.expire(platform)

    async with platform.transaction() as session:
        for column in (
            IdempotencyKey.key, OneTimeToken.digest, Mail.to, SignIn.id, RefreshToken.digest
        ):  # fmt: skip
            assert list(await session.scalars(select(column))) == ["new"]


async def test_a_letter_that_was_given_up_goes_and_one_that_waits_stays(
    platform: Services,
) -> None:
    old = datetime.now(UTC) - timedelta(days=2)
    async with platform.transaction() as session:
        for name, attempts in (("given up", MAX_ATTEMPTS), ("waits", MAX_ATTEMPTS - 1)):
            session.add(Mail(to=name, subject="", body="", attempts=attempts, available_at=old))

    await upkeep.expire(platform)

    async with platform.transaction() as session:
        assert list(await session.scalars(select(Mail.to))) == ["waits"]


async def test_of_several_upkeeps_one_sweeps_and_none_stops_at_a_failure(
    ada: Client, platform: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, most, rounds = 0, 0, 0

    async def sweep(_: Services) -> None:
        nonlocal at_work, most, rounds
        rounds, at_work = rounds + 1, at_work + 1
        most = max(most, at_work)
        try:
            await asyncio.sleep(0.02)
            raise RuntimeError("a bad round")
        finally:
            at_work -= 1

    monkeypatch.setattr(upkeep, "SWEEPS", {sweep: 0.01})
    stop = asyncio.Event()
    running = [asyncio.create_task(upkeep.forever(platform, stop)) for _ in range(3)]
    await asyncio.sleep(0.5)
    stop.set()
    await asyncio.gather(*running)

    assert (most, at_work) == (1, 0)
    assert rounds > 3


async def test_the_upkeep_does_all_of_it_by_itself(
    ada: Client, platform: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "SWEEPS", dict.fromkeys(upkeep.SWEEPS, 0.05))
    await ada.put("/v1/me/privacy", json={"retention_days": 7})
    take = await uploaded(ada)
    await older(platform, take, 8)
    stop = asyncio.Event()
    running = asyncio.create_task(upkeep.forever(platform, stop))

    async with asyncio.timeout(10):
        while await rows(platform, Recording):
            await asyncio.sleep(0.05)
    stop.set()
    await running

    assert not await has_sound(platform, take)
