"""The queue of jobs, which is their table: one driver at a time, under a lease."""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import and_, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app import clock, events
from app.tables import Job, JobState, Json

Kind = Literal["retraining", "reanalysis"]
TOPIC = "jobs"  # the bell of whoever starts drivers
REPEATABLE: tuple[Kind, ...] = ("reanalysis",)  # what is done is kept: another driver goes on
LOST = "The process that drove it ended without a result."


@dataclass(frozen=True, slots=True)
class Claim:
    """One job in one driver's hands, for as long as its lease is renewed."""

    job_id: str
    token: str
    kind: Kind
    attempt: int


async def claim(
    session: AsyncSession, kinds: Collection[Kind], *, lease_s: float, max_attempts: int
) -> Claim | None:
    """The oldest job of these kinds that waits or whose driver fell silent, or None.

    A retraining whose driver is lost ends as failed; a reanalysis goes on with what is left,
    until `max_attempts` drivers in a row have added nothing.
    """
    for row in await _ready(session, kinds):
        lost = row.state == JobState.running
        if lost and row.kind not in REPEATABLE:
            _end_lost(session, row, "driver_lost", f"{LOST} Its log may tell; start another.")
        elif row.attempts >= max_attempts:
            tried = f"{row.attempts} drivers in a row added nothing. The log may tell why."
            _end_lost(session, row, "gave_up", tried)
        else:
            return _take(session, row, lease_s)
    return None


async def _ready(session: AsyncSession, kinds: Collection[Kind]) -> Sequence[Job]:
    free = or_(Job.lease_until.is_(None), Job.lease_until < clock.now())
    waiting = and_(Job.state.in_((JobState.queued, JobState.running)), free)
    query = (
        select(Job)
        .where(waiting, Job.kind.in_(kinds))
        .order_by(Job.id)
        .limit(8)
        .with_for_update(skip_locked=True)
    )
    return (await session.scalars(query)).all()


def _take(session: AsyncSession, row: Job, lease_s: float) -> Claim:
    row.state, row.attempts = JobState.running, row.attempts + 1
    row.lease_token = secrets.token_hex(16)
    row.lease_until = cast(datetime, clock.after(lease_s))
    row.started_at = cast(datetime, func.coalesce(Job.started_at, clock.now()))
    events.append(session, row.id, "running", {"attempt": row.attempts})
    return Claim(row.id, row.lease_token, cast(Kind, row.kind), row.attempts)


def _end_lost(session: AsyncSession, row: Job, code: str, detail: str) -> None:
    row.failure = {"code": code, "detail": detail}
    row.state, row.lease_token, row.lease_until = JobState.failed, None, None
    row.finished_at = cast(datetime, clock.now())
    events.append(session, row.id, "failed", {"failure": row.failure})


async def beat(session: AsyncSession, job_id: str, token: str, lease_s: float) -> JobState | None:
    """Renew the lease. The job's state: anything but running means stop; None, the lease is lost.

    A job that was paused or cancelled stays leased until its driver has let go, so that never two
    drivers have it.
    """
    found = await _held(session, job_id, token, lease_until=clock.after(lease_s))
    return JobState(found) if found else None


async def secured(session: AsyncSession, job_id: str, token: str) -> bool:
    """Whether this driver may add results in this transaction: the row is locked until it ends.

    An attempt that adds something is no attempt in vain.
    """
    found = await _held(session, job_id, token, attempts=1)
    return found in (JobState.running, JobState.paused)


async def note(
    session: AsyncSession, job_id: str, token: str, progress: Json, lines: Sequence[str]
) -> None:
    """Merge into the progress, add to the log. Nothing happens once the lease is lost."""
    merged = Job.progress.op("||")(literal(progress, JSONB))
    if await _held(session, job_id, token, progress=merged) is None:
        return
    if lines:
        events.append(session, job_id, "log", {"lines": list(lines)})
    if progress:
        events.append(session, job_id, "progress", progress)


async def finish(session: AsyncSession, job_id: str, token: str, result: Json) -> bool:
    """Save the result, once: False when the lease was lost, and then nothing is written."""
    return await _end(session, job_id, token, JobState.done, {}, result=result, failure=None)


async def fail(session: AsyncSession, job_id: str, token: str, code: str, detail: str) -> bool:
    failure = {"code": code, "detail": detail}
    told: Json = {"failure": failure}
    return await _end(session, job_id, token, JobState.failed, told, failure=failure)


async def release(session: AsyncSession, job_id: str, token: str, *, counts: bool) -> bool:
    """Let go of a job that is to go on later; `counts`: this attempt came to nothing by itself."""
    fewer = Job.attempts if counts else func.greatest(Job.attempts - 1, 0)
    ended: dict[str, Any] = {"lease_token": None, "lease_until": None, "attempts": fewer}
    if await _held(session, job_id, token, only=JobState.running, state=JobState.queued, **ended):
        events.append(session, job_id, "queued", {})
        events.mention(session, TOPIC)
        return True
    if await _held(session, job_id, token, **ended):
        events.mention(session, TOPIC)  # paused and resumed meanwhile, perhaps: it may start
        return True
    return False


async def expire(session: AsyncSession, job_id: str, token: str) -> bool:
    """Its driver is known to have ended: nobody need wait for the lease. False: it had let go."""
    return await _held(session, job_id, token, lease_until=clock.now()) is not None


async def _end(
    session: AsyncSession,
    job_id: str,
    token: str,
    state: JobState,
    told: Json,
    **values: Any,  # noqa: ANN401
) -> bool:
    ended = {"state": state, "lease_token": None, "lease_until": None, "finished_at": clock.now()}
    written = await _held(session, job_id, token, only=JobState.running, **ended, **values)
    if written:
        events.append(session, job_id, state, told)
    return written is not None


async def _held(
    session: AsyncSession,
    job_id: str,
    token: str,
    *,
    only: JobState | None = None,
    **values: Any,  # noqa: ANN401
) -> str | None:
    """Every write of a driver: it happens only while the lease is this driver's. The state."""
    query = (
        update(Job)
        .where(Job.id == job_id, Job.lease_token == token)
        .values(**values)
        .returning(Job.state)
        .execution_options(synchronize_session=False)
    )
    state: str | None = await session.scalar(query.where(Job.state == only) if only else query)
    return state


async def position(session: AsyncSession, row: Job) -> int | None:
    """1 is next of its kind; None when it does not wait."""
    if row.state != JobState.queued:
        return None
    query = select(func.count()).where(
        Job.state == JobState.queued, Job.kind == row.kind, Job.id < row.id
    )
    return 1 + (await session.scalar(query) or 0)
