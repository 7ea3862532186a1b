"""What can be done with a job. Knows the database and storage, never HTTP."""

from collections.abc import AsyncIterator, Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, events, ids, pages
from app.errors import Conflict, NotFound, Unprocessable
from app.jobs import selecting
from app.jobs.queue import REPEATABLE, TOPIC, Kind
from app.jobs.report import Report
from app.jobs.retraining import RetrainingIn
from app.jobs.schemas import Reanalysing, ReanalysisIn
from app.security import User
from app.services import Services
from app.tables import Event, Job, JobState, Json

FINAL = (JobState.done, JobState.failed, JobState.cancelled)
LOG_PAGE = 500  # events read at once


async def retrain(session: AsyncSession, actor: User, asked: RetrainingIn) -> Job:
    return await _enqueue(session, actor, "retraining", asked.model_dump(mode="json"))


async def reanalyze(session: AsyncSession, actor: User, asked: ReanalysisIn) -> Job:
    """Raises Unprocessable where a version or the whole selection is not there."""
    decided = await selecting.decide(session, asked)
    counts = await selecting.counts(session, decided, "")
    if (named := decided.selection.ids) and counts.recordings < len(set(named)):
        missing = len(set(named)) - counts.recordings
        raise Unprocessable(f"{missing} of the ids name no recording.", code="unknown_recording")
    if not counts.recordings:
        raise Unprocessable("No recording passes the filter.", code="empty_selection")
    row = await _enqueue(session, actor, "reanalysis", decided.model_dump(mode="json"))
    row.progress = counts.shown()
    return row


async def _enqueue(session: AsyncSession, actor: User, kind: Kind, asked: Json) -> Job:
    row = Job(id=ids.new("job"), kind=kind, owner_id=actor.id, asked=asked)
    session.add(row)
    await session.flush()
    await session.refresh(row)
    audit.record(session, actor.id, f"job.{kind}", row.id, asked)
    events.append(session, row.id, "queued", {})
    events.mention(session, TOPIC)
    return row


async def get(session: AsyncSession, job_id: str, *, for_update: bool = False) -> Job:
    """Whoever may operate models sees every job."""
    found = None
    if ids.valid("job", job_id):
        query = select(Job).where(Job.id == job_id)
        found = await session.scalar(query.with_for_update() if for_update else query)
    if found is None:
        raise NotFound("No such job.")
    return found


async def page(
    session: AsyncSession,
    limit: int,
    cursor: str | None,
    *,
    kind: Kind | None = None,
    state: JobState | None = None,
) -> tuple[Sequence[Job], str | None]:
    """Newest first, and the cursor of the next page."""
    query = select(Job).order_by(Job.id.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(Job.id < pages.decode("job", cursor))
    if kind is not None:
        query = query.where(Job.kind == kind)
    if state is not None:
        query = query.where(Job.state == state)
    return pages.cut(list(await session.scalars(query)), limit)


async def cancel(session: AsyncSession, actor: User, job_id: str) -> Job:
    """Safe to repeat. The driver that has it notices at once, and lets go of it."""
    row = await get(session, job_id, for_update=True)
    if row.state == JobState.cancelled:
        return row
    _refuse_final(row)
    row.finished_at = await session.scalar(select(func.now()))
    return _move(session, actor, row, JobState.cancelled, "cancel")


async def pause(session: AsyncSession, actor: User, job_id: str) -> Job:
    """Safe to repeat. What is measured stays; the rest waits for `resume`."""
    row = await get(session, job_id, for_update=True)
    _refuse_other_than_repeatable(row)
    if row.state == JobState.paused:
        return row
    _refuse_final(row)
    return _move(session, actor, row, JobState.paused, "pause")


async def resume(session: AsyncSession, actor: User, job_id: str) -> Job:
    """Safe to repeat."""
    row = await get(session, job_id, for_update=True)
    _refuse_other_than_repeatable(row)
    _refuse_final(row)
    if row.state != JobState.paused:
        return row
    row.attempts = 0
    _move(session, actor, row, JobState.queued, "resume")
    events.mention(session, TOPIC)
    return row


def _move(session: AsyncSession, actor: User, row: Job, state: JobState, action: str) -> Job:
    audit.record(session, actor.id, f"job.{action}", row.id, {"from": row.state})
    row.state = state
    events.append(session, row.id, state, {"by": actor.id})
    return row


def _refuse_final(row: Job) -> None:
    if row.state in FINAL:
        raise Conflict(f"The job is already {row.state}.", code="already_finished")


def _refuse_other_than_repeatable(row: Job) -> None:
    if row.kind not in REPEATABLE:
        raise Conflict(f"A {row.kind} cannot be paused; cancel it.", code="not_pausable")


async def log_lines(services: Services, job_id: str) -> AsyncIterator[str]:
    """What the job wrote down, a line at a time with its moment, from the first."""
    last_id = 0
    while True:
        query = (
            select(Event)
            .where(Event.topic == job_id, Event.type == "log", Event.id > last_id)
            .order_by(Event.id)
            .limit(LOG_PAGE)
        )
        async with services.transaction() as session:
            found = list(await session.scalars(query))
        for event in found:
            last_id = event.id
            moment = event.created_at.isoformat(timespec="seconds")
            for line in event.payload["lines"]:
                yield f"{moment}  {line}\n"
        if len(found) < LOG_PAGE:
            return


def report_key(job_id: str) -> str:
    return f"jobs/{job_id}/report.json"


async def report(services: Services, job_id: str) -> Report:
    """What a finished reanalysis found. Raises NotFound and Conflict."""
    async with services.transaction() as session:
        row = await get(session, job_id)
    if row.kind != "reanalysis":
        raise NotFound("Only a reanalysis has a difference report.")
    if row.state != JobState.done:
        raise Conflict(f"The job is {row.state}: it has no report yet.", code="not_finished")
    stored = [chunk async for chunk in services.storage.stream(report_key(job_id))]
    return Report.model_validate_json(b"".join(stored))


def asked_of(row: Job) -> Reanalysing:
    return Reanalysing.model_validate(row.asked)
