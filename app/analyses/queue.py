"""The queue of analyses, which is their table: claims under lease, each finished exactly once."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import and_, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from app import clock, events, ids
from app.tables import FINAL, AnalysisRow, Json, State
from models.engine import Options
from models.results import Family

GAVE_UP = "gave_up"
LOST = "The worker that had it stopped without an answer."


@dataclass(frozen=True, slots=True)
class Claim:
    """One analysis in one worker's hands, for as long as its lease is renewed."""

    analysis_id: str
    token: str
    attempt: int
    key: str
    owner_id: str
    families: tuple[Family, ...]
    options: Options


async def add(
    session: AsyncSession,
    owner_id: str,
    recording_id: str,
    families: Sequence[Family],
    options: Options,
) -> AnalysisRow:
    """The last in the line. Whether it may be asked for is the caller's to know."""
    row = AnalysisRow(
        id=ids.new("ana"),
        recording_id=recording_id,
        owner_id=owner_id,
        families=list(families),
        options=options.model_dump(mode="json"),
    )
    session.add(row)
    await session.flush()
    await session.refresh(row)
    events.append(session, row.id, "queued", {})
    events.mention(session, events.QUEUE)
    return row


async def cancel_all(session: AsyncSession, owner_id: str) -> None:
    """What waits or runs of theirs. Workers notice at their next heartbeat."""
    unfinished = select(AnalysisRow).where(
        AnalysisRow.owner_id == owner_id, AnalysisRow.state.not_in(FINAL)
    )
    for row in await session.scalars(unfinished.order_by(AnalysisRow.id).with_for_update()):
        cancel(session, row)


def cancel(session: AsyncSession, row: AnalysisRow) -> None:
    """A row that is locked and has not ended."""
    row.state, row.lease_token, row.lease_until = State.cancelled, None, None
    row.finished_at = cast(datetime, clock.now())
    events.append(session, row.id, "cancelled", {})


async def claim(
    session: AsyncSession, limit: int, *, lease_s: float, max_attempts: int
) -> list[Claim]:
    """Take up to `limit` analyses that wait or whose worker fell silent, oldest first.

    What was tried `max_attempts` times goes to the dead letters instead.
    """
    claimed = []
    for row in await _ready(session, limit):
        if row.state == State.running:
            row.last_reason = LOST
        if row.attempts >= max_attempts:
            _give_up(session, row)
        else:
            claimed.append(_take(session, row, lease_s))
    return claimed


async def _ready(session: AsyncSession, limit: int) -> Sequence[AnalysisRow]:
    waiting = and_(AnalysisRow.state == State.queued, AnalysisRow.available_at <= clock.now())
    abandoned = and_(AnalysisRow.state == State.running, AnalysisRow.lease_until < clock.now())
    query = (
        select(AnalysisRow)
        .where(or_(waiting, abandoned))
        .order_by(AnalysisRow.id)
        .limit(limit)
        .options(joinedload(AnalysisRow.recording))
        .with_for_update(skip_locked=True, of=AnalysisRow)
    )
    return (await session.scalars(query)).all()


def _take(session: AsyncSession, row: AnalysisRow, lease_s: float) -> Claim:
    row.state, row.attempts = State.running, row.attempts + 1
    row.lease_token = secrets.token_hex(16)
    row.lease_until = cast(datetime, clock.after(lease_s))
    row.started_at = cast(datetime, func.coalesce(AnalysisRow.started_at, clock.now()))
    row.progress = {}
    events.append(session, row.id, "running", {"attempt": row.attempts})
    return Claim(
        analysis_id=row.id,
        token=row.lease_token,
        attempt=row.attempts,
        key=row.recording.key,
        owner_id=row.owner_id,
        families=tuple(cast(list[Family], row.families)),
        options=Options.model_validate(row.options),
    )


def _give_up(session: AsyncSession, row: AnalysisRow) -> None:
    detail = f"Given up after {row.attempts} attempts. The last: {row.last_reason}"
    row.failure = {"code": GAVE_UP, "detail": detail}
    row.state, row.lease_token, row.lease_until = State.failed, None, None
    row.finished_at = cast(datetime, clock.now())
    events.append(session, row.id, "failed", {"failure": row.failure})


async def heartbeat(session: AsyncSession, claim: Claim, lease_s: float) -> bool:
    """Renew the lease. False: it is lost (cancelled, or another worker has it): stop."""
    return await _write(session, claim, lease_until=clock.after(lease_s))


async def progress(session: AsyncSession, claim: Claim, family: Family, state: str) -> bool:
    step: Json = {family: state}
    merged = AnalysisRow.progress.op("||")(literal(step, JSONB))
    if not await _write(session, claim, progress=merged):
        return False
    events.append(session, claim.analysis_id, "progress", step)
    return True


async def finish(session: AsyncSession, claim: Claim, result: Json) -> bool:
    """Save the result, once: False when the lease was lost, and then nothing is written."""
    return await _end(session, claim, State.done, {}, result=result, failure=None)


async def fail(session: AsyncSession, claim: Claim, code: str, detail: str) -> bool:
    """End it without a result, for a reason that another attempt would meet again."""
    failure = {"code": code, "detail": detail}
    return await _end(session, claim, State.failed, {"failure": failure}, failure=failure)


async def retry(
    session: AsyncSession, claim: Claim, reason: str, *, max_attempts: int, delay_s: float
) -> bool:
    """Back into the queue after an attempt that failed; to the dead letters after the last."""
    if claim.attempt >= max_attempts:
        detail = f"Given up after {claim.attempt} attempts. The last: {reason}"
        return await fail(session, claim, GAVE_UP, detail)
    return await _requeue(session, claim, delay_s, last_reason=reason)


async def put_back(session: AsyncSession, claim: Claim, delay_s: float = 0.0) -> bool:
    """Back into the queue as if it had never been taken: the attempt does not count."""
    return await _requeue(session, claim, delay_s, attempts=AnalysisRow.attempts - 1)


async def _requeue(session: AsyncSession, claim: Claim, delay_s: float, **values: Any) -> bool:  # noqa: ANN401
    written = await _write(
        session,
        claim,
        state=State.queued,
        lease_token=None,
        lease_until=None,
        available_at=clock.after(delay_s),
        **values,
    )
    if written:
        events.append(session, claim.analysis_id, "queued", {})
        events.mention(session, events.QUEUE)
    return written


async def _end(
    session: AsyncSession,
    claim: Claim,
    state: State,
    told: Json,
    **values: Any,  # noqa: ANN401
) -> bool:
    written = await _write(
        session,
        claim,
        state=state,
        lease_token=None,
        lease_until=None,
        finished_at=clock.now(),
        **values,
    )
    if written:
        events.append(session, claim.analysis_id, state, told)
    return written


async def _write(session: AsyncSession, claim: Claim, **values: Any) -> bool:  # noqa: ANN401
    """Every write of a worker: it happens only while the lease is this worker's."""
    query = (
        update(AnalysisRow)
        .where(
            AnalysisRow.id == claim.analysis_id,
            AnalysisRow.lease_token == claim.token,
            AnalysisRow.state == State.running,
        )
        .values(**values)
        .returning(AnalysisRow.id)
        .execution_options(synchronize_session=False)
    )
    return await session.scalar(query) is not None


async def position(session: AsyncSession, row: AnalysisRow) -> int | None:
    """1 is next; None when it does not wait."""
    if row.state != State.queued:
        return None
    ahead = select(func.count()).where(AnalysisRow.state == State.queued, AnalysisRow.id < row.id)
    return 1 + (await session.scalar(ahead) or 0)
