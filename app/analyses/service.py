"""What can be done with an analysis. Knows the database, never HTTP."""

import asyncio
from typing import BinaryIO

from sqlalchemy import Select, Text, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import events, ids
from app.analyses.schemas import AnalysisIn
from app.analyzer import AnalysisRequest
from app.errors import Conflict, NotFound
from app.recordings import service as recordings
from app.security import User
from app.services import Services
from app.tables import FINAL, AnalysisRow, State
from models.results import Analysis


def visible_to(user: User) -> Select[AnalysisRow]:
    """Every query of analyses starts here."""
    return select(AnalysisRow).where(AnalysisRow.owner_id == user.id)


async def get(
    session: AsyncSession, user: User, analysis_id: str, *, for_update: bool = False
) -> AnalysisRow:
    """Without its result; `result_of` reads that."""
    found = None
    if ids.valid("ana", analysis_id):
        query = visible_to(user).where(AnalysisRow.id == analysis_id)
        found = await session.scalar(query.with_for_update() if for_update else query)
    if found is None:
        raise NotFound("No such analysis.")
    return found


async def result_of(session: AsyncSession, row: AnalysisRow) -> str | None:
    """The Analysis as JSON text: it was checked when it was written, so it need not be parsed."""
    if row.state != State.done:
        return None
    query = select(cast(AnalysisRow.result, Text)).where(AnalysisRow.id == row.id)
    return await session.scalar(query)


async def enqueue(
    session: AsyncSession, user: User, recording_id: str, asked: AnalysisIn
) -> AnalysisRow:
    recording = await recordings.get(session, user, recording_id)
    row = AnalysisRow(
        id=ids.new("ana"),
        recording_id=recording.id,
        owner_id=user.id,
        families=list(asked.families),
        options=asked.options.model_dump(mode="json"),
    )
    session.add(row)
    await session.flush()
    await session.refresh(row)
    events.append(session, row.id, "queued", {})
    events.mention(session, events.QUEUE)
    return row


async def cancel(session: AsyncSession, user: User, analysis_id: str) -> AnalysisRow:
    """Safe to repeat. The worker that has it notices at its next heartbeat."""
    row = await get(session, user, analysis_id, for_update=True)
    if row.state == State.cancelled:
        return row
    if row.state in FINAL:
        raise Conflict(f"The analysis is already {row.state}.", code="already_finished")
    row.state, row.lease_token, row.lease_until = State.cancelled, None, None
    row.finished_at = await session.scalar(select(func.now()))
    events.append(session, row.id, "cancelled", {})
    return row


async def analyze_once(
    services: Services, user: User, upload: BinaryIO, asked: AnalysisIn
) -> Analysis:
    """Measure a take and keep nothing. Raises what the analyzer raises."""
    encoded = await asyncio.to_thread(upload.read)
    request = AnalysisRequest(
        families=tuple(asked.families),
        options=asked.options,
        lane="interactive",
        deadline_s=services.settings.one_shot_deadline_s,
        user=user.id,
    )
    analysis = await services.analyzer.analyze(encoded, request, None)
    services.observe(analysis)
    return analysis
