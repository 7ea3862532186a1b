"""The queue of analyses: nothing lost, nothing done twice, whoever dies."""

import asyncio
import os
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import httpx2
from sqlalchemy import func, select

from app import ids, tasks
from app.analyses import queue
from app.analyses.queue import Claim
from app.analyses.work import perform, work_forever
from app.analyzer import Overloaded
from app.services import Services
from app.tables import AnalysisRow, Event, Recording, State
from tests.app.test_flow import queued, uploaded
from tests.fakes import FakeAnalyzer, analysis, raising, waiting

Client = httpx2.AsyncClient
ROOT = Path(__file__).resolve().parents[2]
_WORKER = """
import asyncio
from app.analyses.work import work_forever
from app.services import open_services
from app.settings import settings
from tests.fakes import FakeAnalyzer, waiting

async def work():
    async with open_services(settings(), FakeAnalyzer(before=waiting(600))) as services:
        await work_forever(services, 8, asyncio.Event())

asyncio.run(work())
"""


async def fill(platform: Services, number: int) -> list[str]:
    """That many queued analyses of one recording."""
    names = sorted(ids.new("ana") for _ in range(number))
    async with platform.transaction() as session:
        take = Recording(
            id=ids.new("rec"), owner_id="usr_ada", name="a", key="k", sha256="", size_bytes=1,
            duration_s=1.0, channels=1,
        )  # fmt: skip
        session.add(take)
        await session.flush()
        session.add_all(
            AnalysisRow(
                id=name, recording_id=take.id, owner_id="usr_ada", families=["pitch"], options={}
            )
            for name in names
        )
    return names


async def take(platform: Services, limit: int, lease_s: float = 5.0) -> list[Claim]:
    async with platform.transaction() as session:
        return await queue.claim(session, limit, lease_s=lease_s, max_attempts=3)


async def row_of(platform: Services, analysis_id: str) -> AnalysisRow:
    async with platform.transaction() as session:
        return await session.get_one(AnalysisRow, analysis_id)


async def states(platform: Services) -> dict[str, int]:
    async with platform.transaction() as session:
        query = select(AnalysisRow.state, func.count()).group_by(AnalysisRow.state)
        return {state: number for state, number in await session.execute(query)}


async def until_ended(platform: Services, number: int, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while True:
            found = await states(platform)
            if found.get("done", 0) + found.get("failed", 0) >= number:
                return
            await asyncio.sleep(0.1)


async def test_two_workers_never_take_the_same_analysis(platform: Services) -> None:
    names = await fill(platform, 60)

    hands = await asyncio.gather(*(take(platform, 7) for _ in range(12)))

    taken = Counter(claim.analysis_id for hand in hands for claim in hand)
    assert set(taken) == set(names)
    assert set(taken.values()) == {1}


async def test_the_oldest_goes_first(platform: Services) -> None:
    names = await fill(platform, 5)

    assert [claim.analysis_id for claim in await take(platform, 3)] == names[:3]


async def test_an_expired_lease_is_taken_over_and_its_old_holder_can_write_nothing(
    platform: Services,
) -> None:
    [name] = await fill(platform, 1)
    [first] = await take(platform, 1, lease_s=0.1)
    assert await take(platform, 1) == []
    await asyncio.sleep(0.2)

    [second] = await take(platform, 1)

    result = analysis().model_dump(mode="json")
    async with platform.transaction() as session:
        assert not await queue.finish(session, first, result)
        assert not await queue.heartbeat(session, first, 5)
        assert not await queue.progress(session, first, "pitch", "done")
        assert await queue.finish(session, second, result)
        assert not await queue.finish(session, second, result)
    row = await row_of(platform, name)
    assert (row.state, row.attempts) == (State.done, 2)


async def test_a_heartbeat_keeps_a_slow_analysis(
    platform: Services, analyzer: FakeAnalyzer
) -> None:
    [name] = await fill(platform, 1)
    analyzer.before = waiting(2.2)  # more than two leases
    [claim] = await take(platform, 1, lease_s=platform.settings.lease_s)

    at_work = asyncio.create_task(perform(platform, claim))
    while not at_work.done():
        assert await take(platform, 1) == []
        await asyncio.sleep(0.2)

    assert (await row_of(platform, name)).state == State.done


async def test_200_analyses_are_each_finished_once_though_workers_die(
    platform: Services, analyzer: FakeAnalyzer
) -> None:
    names = await fill(platform, 200)
    analyzer.before = waiting(0.02)
    settings = platform.settings.model_copy(update={"lease_s": 10.0})
    patient = replace(platform, settings=settings)  # on a busy machine nobody else is lost
    killed = await _worker_process(platform)
    cancelled = asyncio.create_task(work_forever(patient, 8, asyncio.Event()))
    await asyncio.sleep(0.4)
    killed.kill()
    await killed.wait()
    await tasks.end(cancelled)
    in_its_hands = (await states(platform)).get("running", 0)

    stop = asyncio.Event()
    workers = [asyncio.create_task(work_forever(patient, 4, stop)) for _ in range(3)]
    await until_ended(platform, 200, seconds=60)
    stop.set()
    await asyncio.gather(*workers)

    assert in_its_hands >= 8
    assert await states(platform) == {"done": 200}
    async with platform.transaction() as session:
        query = select(Event.topic).where(Event.type == "done")
        finished = Counter(await session.scalars(query))
    assert finished == Counter(names)


async def _worker_process(platform: Services) -> asyncio.subprocess.Process:
    """A worker of its own process with work in its hands, from which nobody gives it back."""
    environment = {
        **os.environ,
        "DATABASE_URL": str(platform.settings.database_url),
        "REDIS_URL": str(platform.settings.redis_url),
        "MLFLOW_TRACKING_URI": "unused",
        "VOCALITY_HOME": str(platform.settings.home),
        "VOCALITY_LEASE_S": "1",
    }
    command = (sys.executable, "-c", _WORKER)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment)
    async with asyncio.timeout(20):
        while (await states(platform)).get("running", 0) < 8:
            await asyncio.sleep(0.05)
    return process


async def test_a_poison_analysis_goes_to_the_dead_letters_and_others_proceed(
    platform: Services,
) -> None:
    poison, healthy = await fill(platform, 2)
    for _ in range(3):  # each worker that takes it dies
        await take(platform, 1, lease_s=0.05)
        await asyncio.sleep(0.1)

    [claim] = [claim for _ in range(2) for claim in await take(platform, 1)]
    await perform(platform, claim)

    row = await row_of(platform, poison)
    assert row.state == State.failed
    assert row.failure is not None
    assert row.failure["code"] == "gave_up"
    assert "stopped without an answer" in row.failure["detail"]
    assert (await row_of(platform, healthy)).state == State.done


async def test_an_attempt_that_raises_is_repeated_then_given_up_with_its_reason(
    platform: Services, analyzer: FakeAnalyzer
) -> None:
    [name] = await fill(platform, 1)
    analyzer.before = raising(RuntimeError("the third string broke"))

    for attempt in range(1, 4):
        [claim] = await take(platform, 1)
        assert claim.attempt == attempt
        await perform(platform, claim)
        await _make_available(platform, name)

    row = await row_of(platform, name)
    assert row.state == State.failed
    assert row.failure is not None
    assert row.failure["code"] == "gave_up"
    assert "the third string broke" in row.failure["detail"]


async def _make_available(platform: Services, name: str) -> None:
    async with platform.transaction() as session:
        row = await session.get_one(AnalysisRow, name)
        row.available_at = row.created_at


async def test_an_overload_puts_it_back_without_counting(
    platform: Services, analyzer: FakeAnalyzer
) -> None:
    [name] = await fill(platform, 1)
    analyzer.before = raising(Overloaded(60.0))
    [claim] = await take(platform, 1)

    await perform(platform, claim)

    row = await row_of(platform, name)
    assert (row.state, row.attempts) == (State.queued, 0)
    assert await take(platform, 1) == []  # not before the models asked for it


async def test_a_worker_that_is_stopped_gives_back_what_it_has(
    platform: Services, analyzer: FakeAnalyzer
) -> None:
    [name] = await fill(platform, 1)
    analyzer.before = waiting(60)
    [claim] = await take(platform, 1)
    at_work = asyncio.create_task(perform(platform, claim))
    await asyncio.sleep(0.1)

    await tasks.end(at_work)

    row = await row_of(platform, name)
    assert (row.state, row.attempts) == (State.queued, 0)


async def test_a_cancelled_analysis_is_let_go_by_its_worker(
    ada: Client, platform: Services, analyzer: FakeAnalyzer
) -> None:
    name = await queued(ada, await uploaded(ada))
    analyzer.before = waiting(60)
    [claim] = await take(platform, 1)
    at_work = asyncio.create_task(perform(platform, claim))
    await asyncio.sleep(0.05)

    await ada.post(f"/v1/analyses/{name}/cancel")

    async with asyncio.timeout(3):
        await at_work
    assert (await row_of(platform, name)).state == State.cancelled


async def test_a_worker_hears_of_new_work_at_once(
    ada: Client, platform: Services, analyzer: FakeAnalyzer
) -> None:
    take_id = await uploaded(ada)
    stop = asyncio.Event()
    worker = asyncio.create_task(work_forever(platform, 2, stop))
    await asyncio.sleep(0.2)

    await queued(ada, take_id)
    await until_ended(platform, 1, seconds=5)

    stop.set()
    await worker
    assert await states(platform) == {"done": 1}


async def test_a_result_that_the_database_will_not_take_is_a_failure_at_once(
    platform: Services, analyzer: FakeAnalyzer
) -> None:
    [name] = await fill(platform, 1)
    analyzer.answer = analysis(text="a\0b")
    [claim] = await take(platform, 1)

    await perform(platform, claim)

    row = await row_of(platform, name)
    assert row.failure is not None
    assert (row.state, row.failure["code"]) == (State.failed, "result_not_storable")
