"""Purging: a recording's sound, and the rows that go with a recording."""

from sqlalchemy import ColumnElement, CursorResult, Delete, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.services import Services
from app.tables import FINAL, AnalysisRow, Event, Reanalysis, Recording

AT_ONCE = 100  # recordings

Which = ColumnElement[bool]  # a condition on recordings

UNFINISHED = (
    select(AnalysisRow.id)
    .where(AnalysisRow.recording_id == Recording.id, AnalysisRow.state.not_in(FINAL))
    .exists()
)
FORGETTING = Recording.forgets & ~UNFINISHED


async def silence(services: Services, which: Which) -> int:
    """Delete the sound of those recordings; their rows stay, and say so. How many.

    Safe to repeat: the objects go first, with no transaction open.
    """
    silenced = 0
    while ids := await _sounding(services, which):
        for recording_id in ids:
            await services.storage.delete_all(f"recordings/{recording_id}")
        async with services.transaction() as session:
            these = update(Recording).where(Recording.id.in_(ids))
            await session.execute(these.values(sound_deleted_at=func.now()))
        silenced += len(ids)
    return silenced


async def _sounding(services: Services, which: Which) -> list[str]:
    query = select(Recording.id).where(Recording.sound_deleted_at.is_(None), which)
    async with services.transaction() as session:
        return list(await session.scalars(query.limit(AT_ONCE)))


async def purge(services: Services) -> int:
    """What was deleted goes for good, and all that hangs on it. How many recordings."""
    deleted_ones = Recording.deleted_at.is_not(None)
    await silence(services, deleted_ones)
    silent = select(Recording.id).where(deleted_ones, Recording.sound_deleted_at.is_not(None))
    async with services.transaction() as session:
        ids = list(await session.scalars(silent.order_by(Recording.id).with_for_update()))
        analyses = select(AnalysisRow.id).where(AnalysisRow.recording_id.in_(ids))
        told = or_(Event.topic.in_(analyses), Event.topic.in_(ids))
        await deleted(session, delete(Reanalysis).where(Reanalysis.recording_id.in_(ids)))
        await deleted(session, delete(Event).where(told))
        await deleted(session, delete(AnalysisRow).where(AnalysisRow.recording_id.in_(ids)))
        return await deleted(session, delete(Recording).where(Recording.id.in_(ids)))


async def deleted(session: AsyncSession, doomed: Delete) -> int:
    """How many rows."""
    result = await session.execute(doomed, execution_options={"synchronize_session": False})
    assert isinstance(result, CursorResult)
    return result.rowcount
