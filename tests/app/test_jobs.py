"""Jobs: asked for by researchers, one driver at a time, paused, resumed, cancelled, logged."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from app import ids
from app.jobs import queue, selecting, storing
from app.jobs.driving import KINDS
from app.jobs.queue import Claim
from app.jobs.schemas import Pin, Reanalysing
from app.services import Services
from app.tables import AuditEntry, Event, Job, JobState, ModelVersion, Recording, Rollout
from models.engine import Options
from models.results import Family, Measure, Pitch, schema_digest
from tests.app.conftest import client_of

Client = httpx2.AsyncClient
PITCH = {"selection": {}, "families": ["pitch"]}


@pytest.fixture
async def rosa(door: FastAPI) -> AsyncIterator[Client]:
    """A researcher."""
    async with client_of(door, "usr_rosa") as client:
        client.headers["X-Roles"] = "researcher"
        yield client


def version(family: Family, number: str) -> ModelVersion:
    return ModelVersion(
        family=family, version=number, sha256=f"{family}-{number}", licence="", gate="shipped",
        schema_digest=schema_digest(family), memory_bytes=0,
    )  # fmt: skip


def recording(owner: str = "usr_ada", seconds: float = 1.0) -> Recording:
    return Recording(
        id=ids.new("rec"), owner_id=owner, name="a", key="k", sha256="", size_bytes=1,
        duration_s=seconds, channels=1,
    )  # fmt: skip


@pytest.fixture
async def takes(platform: Services) -> list[str]:
    """Five recordings of two singers; two versions of pitch, one of activity."""
    made = [recording("usr_ada", i + 1.0) for i in range(3)]
    made += [recording("usr_bob", 9.0) for _ in range(2)]
    async with platform.transaction() as session:
        session.add_all(made)
        session.add_all([version("pitch", "1"), version("pitch", "2"), version("activity", "1")])
        session.add(Rollout(family="pitch", champion="1", challenger="2", route={}))
        session.add(Rollout(family="activity", champion="1", route={}))
    return [take.id for take in made]


async def asked(client: Client, **body: object) -> str:
    reply = await client.post("/v1/jobs/reanalysis", json=PITCH | body)
    assert reply.status_code == 202, reply.text
    return str(reply.json()["id"])


async def training(client: Client) -> str:
    reply = await client.post("/v1/jobs/retraining", json={"family": "activity"})
    assert reply.status_code == 202, reply.text
    return str(reply.json()["id"])


async def claimed(platform: Services, lease_s: float = 5.0, max_attempts: int = 3) -> Claim | None:
    async with platform.transaction() as session:
        return await queue.claim(session, KINDS, lease_s=lease_s, max_attempts=max_attempts)


async def row_of(platform: Services, job_id: str) -> Job:
    async with platform.transaction() as session:
        return await session.get_one(Job, job_id)


async def test_a_singer_may_not_operate_models(ada: Client, takes: list[str]) -> None:
    replies = [
        await ada.post("/v1/jobs/reanalysis", json=PITCH),
        await ada.get("/v1/jobs"),
        await ada.post(f"/v1/jobs/{ids.new('job')}/cancel"),
        await ada.get(f"/v1/jobs/{ids.new('job')}/events"),
    ]

    assert [reply.status_code for reply in replies] == [403] * 4


async def test_what_is_asked_is_decided_written_down_and_found_again(
    rosa: Client, platform: Services, takes: list[str]
) -> None:
    reply = await rosa.post("/v1/jobs/reanalysis", json=PITCH | {"versions": {"pitch": "latest"}})

    body = reply.json()
    assert reply.headers["Location"] == f"/v1/jobs/{body['id']}"
    assert body["asked"]["pins"]["pitch"] == {"version": "2", "sha256": "pitch-2"}
    assert body["progress"] == {"recordings": 5, "results": 5, "done": 0, "failed": 0}
    assert body["queue_position"] == 1
    assert (await rosa.get(reply.headers["Location"])).json()["state"] == "queued"
    assert [item["id"] for item in (await rosa.get("/v1/jobs")).json()["items"]] == [body["id"]]
    async with platform.transaction() as session:
        [entry] = await session.scalars(select(AuditEntry))
    assert (entry.actor_id, entry.action, entry.target) == (
        "usr_rosa", "job.reanalysis", body["id"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"versions": {"pitch": "7"}}, "unknown_version"),
        ({"versions": {"activity": "challenger"}, "families": ["activity"]}, "unknown_version"),
        ({"versions": {"timbre": "1"}}, "invalid_request"),
        ({"families": []}, "invalid_request"),
        ({"selection": {"ids": [ids.new("rec")]}}, "unknown_recording"),
        ({"selection": {"owner_id": "usr_nobody"}}, "empty_selection"),
        ({"selection": {"ids": ["rec_1"]}}, "invalid_request"),
        ({"selection": {"ids": [ids.new("rec")], "owner_id": "usr_ada"}}, "invalid_request"),
        ({"selection": {"created_from": "2026-01-01T00:00:00"}}, "invalid_request"),
    ],
)
async def test_what_cannot_be_done_is_refused_with_its_reason(
    rosa: Client, takes: list[str], body: dict[str, object], code: str
) -> None:
    reply = await rosa.post("/v1/jobs/reanalysis", json=PITCH | body)

    assert (reply.status_code, reply.json()["code"]) == (422, code)


async def test_a_selection_is_a_filter_or_ids(rosa: Client, takes: list[str]) -> None:
    selections = (
        {"ids": takes[:2]},
        {"owner_id": "usr_bob"},
        {"shortest_s": 2.0, "longest_s": 3.0},
        {"created_from": "2020-01-01T00:00:00Z", "owner_id": "usr_ada"},
    )

    found = []
    for selection in selections:
        reply = await rosa.post("/v1/jobs/reanalysis", json=PITCH | {"selection": selection})
        found.append(reply.json()["progress"]["recordings"])
        Reanalysing.model_validate(reply.json()["asked"])  # as its driver reads it

    assert found == [2, 2, 2, 3]


async def test_pause_resume_and_cancel_are_safe_to_repeat(rosa: Client, takes: list[str]) -> None:
    job = await asked(rosa)
    steps = ("pause", "pause", "resume", "resume", "pause", "cancel", "cancel")

    states = [(await rosa.post(f"/v1/jobs/{job}/{step}")).json()["state"] for step in steps]

    assert states == ["paused", "paused", "queued", "queued", "paused", "cancelled", "cancelled"]
    for step in ("pause", "resume"):
        assert (await rosa.post(f"/v1/jobs/{job}/{step}")).json()["code"] == "already_finished"


async def test_a_retraining_can_be_cancelled_and_not_paused(rosa: Client) -> None:
    job = await training(rosa)

    refused = await rosa.post(f"/v1/jobs/{job}/pause")
    cancelled = await rosa.post(f"/v1/jobs/{job}/cancel")

    assert (refused.status_code, refused.json()["code"]) == (409, "not_pausable")
    assert cancelled.json()["state"] == "cancelled"


async def test_two_runners_never_take_the_same_job(
    rosa: Client, platform: Services, takes: list[str]
) -> None:
    jobs = {await asked(rosa) for _ in range(3)}

    claims = await asyncio.gather(*(claimed(platform) for _ in range(8)))

    found = [claim.job_id for claim in claims if claim]
    assert len(found) == len(set(found))
    assert set(found) <= jobs


async def test_a_job_that_was_paused_and_resumed_waits_until_its_driver_has_let_go(
    rosa: Client, platform: Services, takes: list[str]
) -> None:
    job = await asked(rosa)
    claim = await claimed(platform)
    assert claim
    await rosa.post(f"/v1/jobs/{job}/pause")
    await rosa.post(f"/v1/jobs/{job}/resume")

    early = await claimed(platform)
    async with platform.transaction() as session:
        state = await queue.beat(session, job, claim.token, 5)
        await queue.release(session, job, claim.token, counts=False)
    late = await claimed(platform)

    assert early is None
    assert state == JobState.queued
    assert late
    assert late.token != claim.token


async def test_a_reanalysis_whose_driver_is_lost_goes_on_until_drivers_add_nothing(
    rosa: Client, platform: Services, takes: list[str]
) -> None:
    job = await asked(rosa)

    first = await claimed(platform, lease_s=0.01, max_attempts=2)
    await asyncio.sleep(0.05)
    claim = await claimed(platform, lease_s=0.01, max_attempts=2)
    await asyncio.sleep(0.05)
    assert first
    assert claim
    assert (first.attempt, claim.attempt) == (1, 2)
    async with platform.transaction() as session:  # the second one has added something
        assert await queue.secured(session, job, claim.token)
    again = await claimed(platform, lease_s=0.01, max_attempts=2)
    await asyncio.sleep(0.05)
    last = await claimed(platform, lease_s=0.01, max_attempts=2)

    assert again
    assert again.attempt == 2
    assert last is None
    assert (await row_of(platform, job)).failure == {
        "code": "gave_up",
        "detail": "2 drivers in a row added nothing. The log may tell why.",
    }


async def test_a_retraining_whose_driver_is_lost_has_failed_and_is_not_repeated(
    rosa: Client, platform: Services
) -> None:
    job = await training(rosa)
    claim = await claimed(platform, lease_s=0.01)
    assert claim
    await asyncio.sleep(0.05)

    assert await claimed(platform) is None

    row = await row_of(platform, job)
    assert row.failure
    assert (row.state, row.failure["code"]) == (JobState.failed, "driver_lost")
    async with platform.transaction() as session:
        assert not await queue.finish(session, job, claim.token, {})


async def test_a_driver_whose_job_was_cancelled_can_write_nothing(
    rosa: Client, platform: Services, takes: list[str]
) -> None:
    job = await asked(rosa)
    claim = await claimed(platform)
    assert claim
    await rosa.post(f"/v1/jobs/{job}/cancel")

    async with platform.transaction() as session:
        assert await queue.beat(session, job, claim.token, 5) == JobState.cancelled
        assert not await queue.secured(session, job, claim.token)
        assert not await queue.finish(session, job, claim.token, {})
    assert (await row_of(platform, job)).state == JobState.cancelled


def plan(
    version: str = "2", sha256: str = "pitch-2", options: Options | None = None
) -> Reanalysing:
    pins: dict[Family, Pin] = {"pitch": Pin(version=version, sha256=sha256)}
    chosen = options or Options()
    return Reanalysing.model_validate(
        {
            "selection": {},
            "families": ["pitch"],
            "options": chosen,
            "via": "auto",
            "pins": pins,
            "digests": {"pitch": selecting.digest("pitch", pins, chosen)},
            "until": "2100-01-01T00:00:00Z",
        }
    )


def measured(take: str, median_hz: float) -> storing.Measured:
    result = Pitch(measures={"f0_median_hz": Measure(value=median_hz, unit="Hz")})
    return storing.of_result(take, "pitch", result)


async def test_a_result_is_stored_once_and_only_a_failure_is_tried_by_another_job(
    rosa: Client, platform: Services, takes: list[str]
) -> None:
    first, second = await asked(rosa), await asked(rosa)
    async with platform.transaction() as session:
        await storing.store(session, plan(), first, [measured(takes[0], 100.0)])
        await storing.store(session, plan(), first, storing.of_failure(takes[1], ["pitch"], "no"))
        left_first = await selecting.waiting(session, plan(), first, 10)
        left_second = await selecting.waiting(session, plan(), second, 10)

        await storing.store(session, plan(), second, [measured(takes[0], 200.0)])
        await storing.store(session, plan(), second, [measured(takes[1], 200.0)])
        now = await selecting.counts(session, plan(), second)

    assert {one.recording_id for one in left_first} == set(takes[2:])
    assert {one.recording_id for one in left_second} == set(takes[1:])
    assert [one.seconds for one in left_second] == [9.0, 9.0, 3.0, 2.0]  # longest first
    assert (now.done, now.failed) == (2, 0)


def test_a_digest_names_all_that_a_result_rests_on() -> None:
    pins: dict[Family, Pin] = {
        "activity": Pin(version="1", sha256="a"),
        "pitch": Pin(version="1", sha256="p"),
        "prosody": Pin(version="1", sha256="q"),
    }
    other_pitch = pins | {"pitch": Pin(version="2", sha256="p2")}

    assert selecting.digest("pitch", pins, Options()) == "p"
    assert selecting.digest("pitch", pins, Options(a4_hz=442)) != "p"
    assert selecting.digest("prosody", pins, Options()) != selecting.digest(
        "prosody", other_pitch, Options()
    )


async def test_the_log_is_text_and_the_events_end_with_the_job(
    rosa: Client, platform: Services, takes: list[str]
) -> None:
    job = await asked(rosa)
    claim = await claimed(platform)
    assert claim
    async with platform.transaction() as session:
        await queue.note(session, job, claim.token, {"done": 2}, ["one", "two"])
        await queue.note(session, job, claim.token, {}, ["three"])
        await queue.finish(session, job, claim.token, {"results": 5})

    log = await rosa.get(f"/v1/jobs/{job}/logs")
    told = (await rosa.get(f"/v1/jobs/{job}/events")).text
    async with platform.transaction() as session:
        middle = await session.scalar(select(Event.id).where(Event.type == "progress"))
    rest = await rosa.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": str(middle)})

    assert [line.split("  ", 1)[1] for line in log.text.splitlines()] == ["one", "two", "three"]
    kinds = [line[7:] for line in told.splitlines() if line.startswith("event: ")]
    assert kinds == ["queued", "running", "log", "progress", "log", "done"]
    assert "two" not in rest.text
    assert "three" in rest.text
