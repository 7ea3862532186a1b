"""Drivers: a process for each job, which holds it, lets go of it when told, and may be killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app import ids
from app.jobs import service
from app.jobs.driving import Launch, drive_forever
from app.jobs.queue import Kind
from app.security import User
from app.services import Services
from app.tables import Job, JobState

ROOT = Path(__file__).resolve().parents[2]
ACTOR = User("usr_rosa")

# What `python -m deployments.jobs` does, without Ray and with this in place of real work.
DRIVER = """
import asyncio, os, sys, time
from app.settings import settings
from deployments import jobs
from deployments.hand import Failed, Stopped

def work(asked, hand):
    hand.log(f"pid {{os.getpid()}}")
    {work}

jobs._join = lambda: None
jobs._result = lambda kind, asked, hand: work(asked, hand)
jobs.main(sys.argv[1], sys.argv[2])
"""
UNTIL_STOPPED = "hand.stop.wait(60); hand.check()"


def launch(platform: Services, work: str) -> Launch:
    settings = platform.settings
    environment = {
        **os.environ,
        "DATABASE_URL": str(settings.database_url),
        "REDIS_URL": str(settings.redis_url),
        "VOCALITY_HOME": str(settings.home),
        "VOCALITY_LEASE_S": "3",
    }
    return Launch([sys.executable, "-c", DRIVER.format(work=work)], environment, ROOT)


@asynccontextmanager
async def driving(platform: Services, work: str) -> AsyncIterator[None]:
    stop = asyncio.Event()
    at_work = asyncio.create_task(drive_forever(platform, launch(platform, work), stop))
    try:
        yield
    finally:
        stop.set()
        await at_work


async def queued(platform: Services, kind: Kind) -> str:
    job_id = ids.new("job")
    async with platform.transaction() as session:
        session.add(Job(id=job_id, kind=kind, owner_id=ACTOR.id, asked={}))
    return job_id


async def until(platform: Services, job_id: str, state: JobState) -> Job:
    async with asyncio.timeout(60):
        while True:
            async with platform.transaction() as session:
                row = await session.get_one(Job, job_id)
            if row.state == state and (state != JobState.running or await log(platform, job_id)):
                return row
            await asyncio.sleep(0.05)


async def let_go(platform: Services, job_id: str) -> None:
    async with asyncio.timeout(60):
        while True:
            async with platform.transaction() as session:
                if (await session.get_one(Job, job_id)).lease_token is None:
                    return
            await asyncio.sleep(0.05)


async def log(platform: Services, job_id: str) -> list[str]:
    lines = [line async for line in service.log_lines(platform, job_id)]
    return [line.split("  ", 1)[1].strip() for line in lines]


async def pids(platform: Services, job_id: str) -> list[int]:
    return [int(line[4:]) for line in await log(platform, job_id) if line.startswith("pid ")]


async def until_pids(platform: Services, job_id: str, number: int) -> list[int]:
    async with asyncio.timeout(60):
        while len(found := await pids(platform, job_id)) < number:
            await asyncio.sleep(0.05)
    return found


async def test_a_driver_reports_its_progress_its_log_and_its_result(platform: Services) -> None:
    job = await queued(platform, "retraining")
    work = "hand.progress({'epoch': 1}); hand.progress({'loss': 0.5}); return {'version': '2'}"

    async with driving(platform, work):
        row = await until(platform, job, JobState.done)

    assert (row.result, row.progress) == ({"version": "2"}, {"epoch": 1, "loss": 0.5})
    assert len(await pids(platform, job)) == 1


async def test_a_job_that_is_paused_resumed_and_cancelled_has_one_driver_at_a_time(
    platform: Services,
) -> None:
    job = await queued(platform, "reanalysis")

    async with driving(platform, UNTIL_STOPPED):
        await until_pids(platform, job, 1)
        async with platform.transaction() as session:
            await service.pause(session, ACTOR, job)
        await let_go(platform, job)
        async with platform.transaction() as session:
            await service.resume(session, ACTOR, job)
        first, second = await until_pids(platform, job, 2)
        async with platform.transaction() as session:
            await service.cancel(session, ACTOR, job)
        await let_go(platform, job)

    assert first != second
    assert (await until(platform, job, JobState.cancelled)).failure is None


async def test_a_killed_driver_is_followed_by_another_where_results_are_kept(
    platform: Services,
) -> None:
    again, once = await queued(platform, "reanalysis"), await queued(platform, "retraining")

    async with driving(platform, UNTIL_STOPPED):
        for job in (again, once):
            os.kill((await until_pids(platform, job, 1))[0], signal.SIGKILL)
        failed = await until(platform, once, JobState.failed)
        await until_pids(platform, again, 2)

    assert failed.failure
    assert failed.failure["code"] == "driver_lost"
    assert "The driver ended with code -9." in await log(platform, once)


async def test_when_the_runner_ends_its_drivers_let_go(platform: Services) -> None:
    again, once = await queued(platform, "reanalysis"), await queued(platform, "retraining")

    async with driving(platform, UNTIL_STOPPED):
        await until_pids(platform, again, 1)
        await until_pids(platform, once, 1)

    waiting = await until(platform, again, JobState.queued)
    failed = await until(platform, once, JobState.failed)
    assert (waiting.attempts, waiting.lease_token) == (0, None)
    assert failed.failure
    assert failed.failure["code"] == "interrupted"


@pytest.mark.parametrize(
    ("work", "code"),
    [
        ("raise Failed('model_unavailable', 'No such weights.')", "model_unavailable"),
        ("raise RuntimeError('the third string broke')", "gave_up"),
    ],
)
async def test_a_reanalysis_that_raises_ends_with_its_reason(
    platform: Services, work: str, code: str
) -> None:
    job = await queued(platform, "reanalysis")

    async with driving(platform, work):
        row = await until(platform, job, JobState.failed)

    assert row.failure
    assert row.failure["code"] == code
    assert row.attempts == (1 if code == "model_unavailable" else 3)
