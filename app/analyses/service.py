"""What can be done with an analysis. Knows the database, never HTTP."""

import asyncio
from typing import BinaryIO

from sqlalchemy import Select, Text, cast, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import consents, ids
from app.analyses import queue
from app.analyses.schemas import AnalysisIn
from app.analyzer import AnalysisRequest
from app.coaching import sight
from app.errors import Conflict, NotFound
from app.recordings import service as recordings
from app.security import User
from app.services import Services
from app.tables import FINAL, AnalysisRow, State
from app.users import presence
from app.users.me import profile
from models.results import Analysis


def visible_to(user: User) -> Select[AnalysisRow]:
    """Every query of analyses starts here: their own, and those of singers whom they coach."""
    return select(AnalysisRow).where(sight.shown_to(user, AnalysisRow.owner_id))


def owned_by(user: User) -> Select[AnalysisRow]:
    """What they may also change."""
    return visible_to(user).where(AnalysisRow.owner_id == user.id)


async def get(session: AsyncSession, user: User, analysis_id: str) -> AnalysisRow:
    """Without its result; `result_of` reads that."""
    return await _one(session, visible_to(user), analysis_id)


async def _one(session: AsyncSession, query: Select[AnalysisRow], analysis_id: str) -> AnalysisRow:
    found = None
    if ids.valid("ana", analysis_id):
        found = await session.scalar(query.where(AnalysisRow.id == analysis_id))
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
    await presence.assure(session, user.id)
    await consents.require(session, user.id, "analysis")
    recording = await recordings.get_own(session, user, recording_id)
    if recording.sound_deleted_at is not None:
        raise Conflict("The sound of this recording was deleted.", code="sound_deleted")
    options = await profile.preferred(session, user.id, asked.options)
    return await queue.add(session, user.id, recording.id, asked.families, options)


async def cancel(session: AsyncSession, user: User, analysis_id: str) -> AnalysisRow:
    """Safe to repeat. The worker that has it notices at its next heartbeat."""
    row = await _one(session, owned_by(user).with_for_update(), analysis_id)
    if row.state == State.cancelled:
        return row
    if row.state in FINAL:
        raise Conflict(f"The analysis is already {row.state}.", code="already_finished")
    queue.cancel(session, row)
    await session.flush()
    await session.refresh(row)
    return row


async def analyze_once(
    services: Services, user: User, upload: BinaryIO, asked: AnalysisIn
) -> Analysis:
    """Measure a take and keep nothing. Raises what the analyzer raises."""
    async with services.transaction() as session:
        await consents.require(session, user.id, "analysis")
        options = await profile.preferred(session, user.id, asked.options)
    encoded = await asyncio.to_thread(upload.read)
    request = AnalysisRequest(
        families=tuple(asked.families),
        options=options,
        lane="interactive",
        deadline_s=services.settings.one_shot_deadline_s,
        user=user.id,
    )
    analysis = await services.analyzer.analyze(encoded, request, None)
    services.observe(analysis)
    return analysis
