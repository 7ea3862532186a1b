"""Reanalysis: each recording once for every family and version, whatever dies in between."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

import psutil
import pyarrow as pa
import pytest
from sqlalchemy import select

from app import ids
from app.analyzer import Overloaded, Unavailable
from app.jobs import service
from app.jobs.driving import Launch, drive_forever
from app.jobs.schemas import Reanalysing, ReanalysisIn, Selection
from app.jobs.selecting import Waiting
from app.jobs.storing import Measured
from app.security import User
from app.services import Services
from app.tables import Job, JobState, ModelVersion, Reanalysis, Recording, Rollout
from deployments import by_data, by_lane, jobs
from deployments.hand import Failed, Hand
from deployments.measuring import Measurer
from models import engines, graph
from models.audio import UnreadableAudio
from models.decode import decode
from models.results import RESULT_TYPES, Activity, Family, Measure, Version, schema_digest
from tests.fakes import FakeAnalyzer, analysis, raising
from tests.same import assert_same_numbers
from tests.signals import silence, tone, wav
from tests.small_ray import small_ray

ACTOR = User("usr_rosa")
BROKEN = b"RIFF, or so it says"
TAKES = 160


async def recorded(
    platform: Services, takes: Sequence[bytes], families: Sequence[Family] = ("activity",)
) -> list[str]:
    """Recordings with sound, and the versions that a platform's start writes down."""
    names = sorted(ids.new("rec") for _ in takes)
    for name, encoded in zip(names, takes, strict=True):
        await platform.storage.put(f"recordings/{name}/master", _once(encoded))
    async with platform.transaction() as session:
        session.add_all(
            Recording(
                id=name, owner_id="usr_ada", name="a", key=f"recordings/{name}/master", sha256="",
                size_bytes=1, duration_s=2.0, channels=1,
            )
            for name in names
        )  # fmt: skip
        for family in families:
            session.add(_version(family))
            session.add(Rollout(family=family, champion="1", route={}))
    return names


async def _once(encoded: bytes) -> AsyncIterator[bytes]:
    yield encoded


def _version(family: Family) -> ModelVersion:
    return ModelVersion(
        family=family, version="1", sha256=engines.load(family).version.sha256, licence="",
        gate="shipped", schema_digest=schema_digest(family), memory_bytes=0,
    )  # fmt: skip


async def asked(platform: Services, families: Sequence[Family] = ("activity",)) -> Job:
    request = ReanalysisIn(selection=Selection(), families=list(families))
    async with platform.transaction() as session:
        return await service.reanalyze(session, ACTOR, request)


async def until(platform: Services, job_id: str, state: JobState, within_s: float = 90) -> Job:
    async with asyncio.timeout(within_s):
        while True:
            async with platform.transaction() as session:
                row = await session.get_one(Job, job_id)
            if row.state == state:
                return row
            assert row.state != JobState.failed, row.failure
            await asyncio.sleep(0.05)


async def written(platform: Services) -> dict[str, tuple[int, datetime]]:
    """Recording to its row's id and moment: a row that is written again would have others."""
    async with platform.transaction() as session:
        query = select(Reanalysis.recording_id, Reanalysis.id, Reanalysis.created_at)
        return {name: (number, at) for name, number, at in await session.execute(query)}


async def until_written(platform: Services, number: int) -> dict[str, tuple[int, datetime]]:
    async with asyncio.timeout(90):
        while len(found := await written(platform)) < number:
            await asyncio.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with small_ray(1):
        yield


def launch(platform: Services) -> Launch:
    found, settings = jobs.launch(), platform.settings
    named = {
        "DATABASE_URL": str(settings.database_url),
        "REDIS_URL": str(settings.redis_url),
        "VOCALITY_HOME": str(settings.home),
        "VOCALITY_LEASE_S": "3",
    }
    return replace(found, environment={**found.environment, **named})


def drivers() -> list[int]:
    """Process ids of the drivers that live."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "deployments.jobs" in process.cmdline():
                found.append(process.pid)
    return found


@pytest.mark.system
async def test_killed_at_40_percent_paused_and_resumed_each_recording_is_measured_once(
    platform: Services, cluster: None
) -> None:
    takes = [wav(tone(200 + i, 2.0)) for i in range(TAKES - 1)]
    names = await recorded(platform, [*takes, BROKEN])
    job = (await asked(platform)).id
    stop = asyncio.Event()
    at_work = asyncio.create_task(drive_forever(platform, launch(platform), stop))

    await until_written(platform, TAKES * 4 // 10)
    [driver] = drivers()
    os.kill(driver, signal.SIGKILL)
    at_kill = await written(platform)
    await until_written(platform, len(at_kill) + 1)
    async with platform.transaction() as session:
        await service.pause(session, ACTOR, job)
    while drivers():
        await asyncio.sleep(0.05)
    at_pause = await written(platform)
    async with platform.transaction() as session:
        await service.resume(session, ACTOR, job)
    row = await until(platform, job, JobState.done)
    stop.set()
    await at_work

    found = await written(platform)
    assert TAKES * 4 // 10 <= len(at_kill) < len(at_pause) < TAKES
    assert at_kill.items() <= at_pause.items() <= found.items()  # nothing was written again
    assert set(found) == set(names)
    assert row.result
    assert (row.result["results"], row.result["failed"]) == (TAKES, 1)
    told = (await service.report(platform, job)).failures
    assert [(one.recording_id, one.detail.split(":")[0]) for one in told] == [
        (names[-1], "unsupported_media")
    ]


class Poisoned(Measurer):
    """An engine that one of the recordings ends, with the process it is in."""

    def measure(self, table: pa.Table) -> pa.Table:
        if POISON in table.column("key").to_pylist():
            os._exit(1)
        return super().measure(table)


POISON = "recordings/poison/master"


@pytest.mark.system
async def test_a_recording_that_ends_its_process_fails_alone(
    platform: Services, cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = await recorded(platform, [wav(tone(220.0, 0.5))] * 3)
    job = await asked(platform)
    plan, hand = service.asked_of(job), Hand(platform.settings, job.id, "", ACTOR.id)
    waits = [wait(name) for name in names]
    waits[1] = replace(waits[1], key=POISON)
    monkeypatch.setattr(by_data, "Measurer", Poisoned)
    monkeypatch.setattr(by_data, "BLOCK", 1)

    found = [
        row async for rows in by_data.measure(plan, hand, waits, by_data.room()) for row in rows
    ]

    alone = [
        row async for rows in by_data._one_by_one(plan, hand, waits, by_data.room()) for row in rows
    ]

    for rows in (found, alone):  # whichever take of the two actors came first
        told = {row.recording_id: json.loads(row.result)["absent"] for row in rows}
        failed = {name: why["detail"] for name, why in told.items() if why["reason"] == "failed"}
        assert failed.keys() == {names[1]}
        assert failed[names[1]].startswith("actor_lost")
    assert [row.recording_id for row in alone] == names[:2]


def wait(name: str, families: tuple[Family, ...] = ("activity",), seconds: float = 1.0) -> Waiting:
    return Waiting(name, f"recordings/{name}/master", seconds, families)


async def test_an_actor_gives_the_numbers_of_one_process(platform: Services) -> None:
    families: tuple[Family, ...] = ("pitch", "prosody")
    takes = [wav(tone(220.0, 1.0)), wav(tone(300.0, 2.5)), wav(silence(0.5)), BROKEN]
    names = await recorded(platform, takes, graph.closure(families))
    plan = service.asked_of(await asked(platform, families))
    missing = wait(ids.new("rec"), families)

    actor = Measurer(plan.pins, plan.options, False, platform.settings)
    table = by_data._table([*(wait(name, families) for name in names), missing])
    rows = by_data._read((await asyncio.to_thread(actor, table)).to_pydict())

    ready = engines.load_all(graph.closure(families), device="cpu")
    here = graph.analyze([decode(take) for take in takes[:3]], ready, families)
    for name, alone in zip(names, here, strict=False):
        there = {row.family: json.loads(row.result) for row in rows if row.recording_id == name}
        assert_same_numbers(alone, alone.model_copy(update=_parsed(there)), rounded=True)
    failed = {
        row.recording_id: json.loads(row.result)["absent"]["detail"].split(":")[0]
        for row in rows
        if row.recording_id in (names[3], missing.recording_id)
    }
    assert failed == {names[3]: "unsupported_media", missing.recording_id: "recording_missing"}
    assert len(rows) == 2 * 5


def _parsed(results: dict[Family, object]) -> dict[str, object]:
    return {
        family: RESULT_TYPES[family].model_validate(result) for family, result in results.items()
    }


async def test_an_actor_without_the_very_weights_refuses(
    platform: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody listens there
    plan = service_plan({"activity": {"version": "1", "sha256": "0" * 64}})

    actor = Measurer(plan.pins, plan.options, False, platform.settings)

    with pytest.raises(Failed, match="activity"):
        by_data._read(actor(by_data._table([wait("rec_1")])).to_pydict())


def service_plan(pins: dict[str, dict[str, str]]) -> Reanalysing:
    return Reanalysing.model_validate(
        {
            "selection": {},
            "families": list(pins),
            "options": {},
            "via": "auto",
            "pins": pins,
            "digests": {family: pin["sha256"] for family, pin in pins.items()},
            "until": "2100-01-01T00:00:00Z",
        }
    )


def test_blocks_are_bounded_in_recordings_and_in_seconds() -> None:
    short = [wait(str(i)) for i in range(35)]
    long = [wait("a", seconds=1800), wait("b", seconds=400), wait("c", seconds=400)]

    assert [len(block) for block in by_data.blocks(short)] == [16, 16, 3]
    assert [[one.recording_id for one in block] for block in by_data.blocks(long)] == [
        ["a"], ["b"], ["c"],
    ]  # fmt: skip


def answering(version: str) -> FakeAnalyzer:
    stated = Version(name="activity", version=version, sha256="a" * 64)
    result = Activity(version=stated, measures={"speech_s": Measure(value=1.5, unit="s")})
    changed = {"activity": result, "versions": {"activity": stated}}
    return FakeAnalyzer(answer=analysis().model_copy(update=changed))


PLAN = service_plan({"activity": {"version": "3", "sha256": "a" * 64}})


async def by_the_lane(platform: Services, analyzer: FakeAnalyzer) -> list[Measured]:
    hand = Hand(platform.settings, ids.new("job"), "", ACTOR.id)
    waits = [wait(ids.new("rec")) for _ in range(3)]
    return [row async for rows in by_lane.measure(PLAN, hand, waits, analyzer) for row in rows]


async def test_the_lane_asks_for_the_very_version_and_waits_where_there_is_no_room(
    platform: Services,
) -> None:
    analyzer = answering("3")
    refusals = [Overloaded(0.01), Unavailable("restarting")]

    async def before() -> None:
        if refusals:
            raise refusals.pop()

    analyzer.before = before

    rows = await by_the_lane(platform, analyzer)

    assert [json.loads(row.values) for row in rows] == [{"speech_s": 1.5}] * 3
    assert len(analyzer.requests) == 5
    assert {(r.lane, r.versions["activity"]) for r in analyzer.requests} == {("bulk", "3")}


async def test_the_lane_writes_down_what_cannot_be_read(platform: Services) -> None:
    analyzer = answering("3")
    analyzer.before = raising(UnreadableAudio("damaged_audio", "No sound in it."))

    rows = await by_the_lane(platform, analyzer)

    assert {json.loads(row.result)["absent"]["detail"] for row in rows} == {
        "damaged_audio: No sound in it."
    }


async def test_the_lane_takes_no_other_versions_answer(platform: Services) -> None:
    with pytest.raises(Failed) as raised:
        await by_the_lane(platform, answering("2"))

    assert raised.value.code == "version_changed"
