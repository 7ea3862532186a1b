"""Work: carrying out queued analyses, one claim at a time, whatever dies in between."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app import events, tasks
from app.analyses import queue
from app.analyses.queue import Claim
from app.analyses.turns import Turns
from app.analyzer import (
    AnalysisRequest,
    DeadlineExceeded,
    Overloaded,
    ReplicaLost,
    Unavailable,
)
from app.errors import DatabaseDown, StorageDown
from app.services import Services
from models.audio import UnreadableAudio
from models.results import Analysis, Family

POLL_S = 0.5
BACK_OFF_S = (1.0, 5.0, 20.0)  # before the second, third, ... attempt
MAX_REASON = 500  # characters of a failure that are kept

Outcome = Callable[[AsyncSession], Awaitable[bool]]

log = structlog.get_logger(__name__)


class LeaseLost(Exception):
    """Somebody cancelled the analysis, or another worker has it."""


async def perform(services: Services, claim: Claim, turns: Turns | None = None) -> None:
    """Carry out one claimed analysis. Safe to repeat: only the lease's holder can end it.

    No database session is open while the models work.
    """
    with structlog.contextvars.bound_contextvars(analysis=claim.analysis_id):
        try:
            outcome = await _attempt(services, claim, turns or Turns())
        except LeaseLost:
            log.info("lease_lost", attempt=claim.attempt)
            return
        except asyncio.CancelledError:
            with suppress(DatabaseDown):
                await asyncio.shield(_write(services, lambda s: queue.put_back(s, claim)))
            raise
        await _settle(services, claim, outcome)


async def _attempt(services: Services, claim: Claim, turns: Turns) -> Outcome:
    """The run boundary: whatever happens in a run becomes what is written about it."""
    limits = services.settings
    try:
        analysis = await _analyze(services, claim, turns)
    except UnreadableAudio as error:
        return _failing(claim, error.code, error.detail)
    except FileNotFoundError:
        return _failing(claim, "recording_missing", "The recording's sound is gone.")
    except DeadlineExceeded:
        return _failing(claim, "deadline_exceeded", "The analysis took too long.")
    except Overloaded as error:
        delay = error.retry_after_s
        return lambda session: queue.put_back(session, claim, delay)
    except ReplicaLost as error:  # perhaps this take's doing: the attempt counts
        return _retrying(claim, error, limits.max_attempts)
    except (Unavailable, StorageDown):
        return lambda session: queue.put_back(session, claim, BACK_OFF_S[1])
    except LeaseLost:
        raise
    except Exception as error:
        log.exception("analysis_attempt_failed", attempt=claim.attempt)
        return _retrying(claim, error, limits.max_attempts)
    services.observe(analysis)
    result = await asyncio.to_thread(analysis.model_dump, mode="json")
    return lambda session: queue.finish(session, claim, result)


def _failing(claim: Claim, code: str, detail: str) -> Outcome:
    return lambda session: queue.fail(session, claim, code, detail)


def _retrying(claim: Claim, error: Exception, max_attempts: int) -> Outcome:
    reason = f"{type(error).__name__}: {error}"[:MAX_REASON].replace("\0", "")
    delay = BACK_OFF_S[min(claim.attempt, len(BACK_OFF_S)) - 1]
    return lambda session: queue.retry(
        session, claim, reason, max_attempts=max_attempts, delay_s=delay
    )


async def _analyze(services: Services, claim: Claim, turns: Turns) -> Analysis:
    """The models' answer, unless the lease is lost first. Raises LeaseLost."""
    request = AnalysisRequest(
        families=claim.families,
        options=claim.options,
        lane="bulk",
        deadline_s=services.settings.bulk_deadline_s,
        user=claim.owner_id,
    )

    async def on_progress(family: Family, state: str) -> None:
        with suppress(DatabaseDown):  # news may be missed, results may not
            if not await _write(services, lambda s: queue.progress(s, claim, family, state)):
                raise LeaseLost

    async def in_turn() -> Analysis:
        async with turns.taken(suspect=claim.attempt > 1):
            return await services.analyzer.analyze(claim.key, request, on_progress)

    work = asyncio.ensure_future(in_turn())
    beats = asyncio.create_task(_keep_lease(services, claim))
    try:
        await asyncio.wait((work, beats), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            beats.result()  # raises what broke it
            raise LeaseLost
        return work.result()
    finally:
        await tasks.end(work, beats)


async def _keep_lease(services: Services, claim: Claim) -> None:
    """Returns when the lease is lost."""
    lease_s = services.settings.lease_s
    while True:
        await asyncio.sleep(lease_s / 3)
        with suppress(DatabaseDown):  # while nobody can write, nobody can take it over either
            if not await _write(services, lambda s: queue.heartbeat(s, claim, lease_s)):
                return


async def _write(services: Services, change: Outcome) -> bool:
    async with services.transaction() as session:
        return await change(session)


async def _settle(services: Services, claim: Claim, outcome: Outcome) -> None:
    """Write how it ended, waiting for the database if need be: an answer is worth the wait."""
    while True:
        try:
            if not await _write(services, outcome):
                log.info("answer_came_too_late")
            return
        except DatabaseDown:
            await asyncio.sleep(POLL_S)
        except DBAPIError:
            log.exception("result_cannot_be_stored")
            outcome = _failing(claim, "result_not_storable", "The result cannot be stored.")
            await asyncio.sleep(POLL_S)


async def work_forever(services: Services, concurrency: int, stop: asyncio.Event) -> None:
    """Take and carry out analyses until `stop` is set, then finish those in hand for `drain_s`.

    News from Redis wake it at once; without them it looks every POLL_S.
    """
    running: set[asyncio.Task[None]] = set()
    turns = Turns()
    stopping = asyncio.create_task(stop.wait())
    relaying = asyncio.create_task(_relay(services))
    try:
        with services.news.watch(events.QUEUE) as bell:
            while not stop.is_set():
                bell.clear()
                for claim in await _claim(services, concurrency - len(running)):
                    running.add(asyncio.create_task(perform(services, claim, turns)))
                await _pause(bell, stopping, running, full=len(running) >= concurrency)
                running = {task for task in running if not task.done()}
        if running:
            await asyncio.wait(running, timeout=services.settings.drain_s)
    finally:
        await tasks.end(*running, stopping, relaying)


async def _claim(services: Services, free: int) -> list[Claim]:
    if free <= 0:
        return []
    limits = services.settings
    try:
        async with services.transaction() as session:
            return await queue.claim(
                session, free, lease_s=limits.lease_s, max_attempts=limits.max_attempts
            )
    except DatabaseDown:
        return []


async def _pause(
    bell: asyncio.Event,
    stopping: asyncio.Task[bool],
    running: set[asyncio.Task[None]],
    *,
    full: bool,
) -> None:
    """Until there may be something to do: news, a free place, the end, or time to look again."""
    if full:
        waits = (stopping, *running)
        await asyncio.wait(waits, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
    else:
        await tasks.rung(bell, POLL_S, stopping, *running)


async def _relay(services: Services) -> None:
    while True:
        moved = 0
        try:
            moved = await events.relay(services.redis, services.sessions)
        except (DatabaseDown, RedisError, OSError):
            pass
        except Exception:  # it must go on: nobody else brings the news out
            log.exception("relay_failed")
        if not moved:
            await asyncio.sleep(1.0)
