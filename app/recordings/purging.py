"""Purging: a recording's sound, and the rows that go with a recording."""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, CursorResult, delete, func, or_, select, update
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
    """What was deleted goes for good. How many recordings."""
    await silence(services, Recording.deleted_at.is_not(None))
    gone = Recording.deleted_at.is_not(None) & Recording.sound_deleted_at.is_not(None)
    async with services.transaction() as session:
        return (await remove(session, gone))["recordings"]


async def remove(session: AsyncSession, which: Which) -> Mapping[str, int]:
    """The rows of recordings that have no sound any more, and all that hangs on them. How many
    of each table."""
    locked = select(Recording.id).where(which).order_by(Recording.id).with_for_update()
    ids = list(await session.scalars(locked))
    analyses = select(AnalysisRow.id).where(AnalysisRow.recording_id.in_(ids))
    doomed = (
        delete(Reanalysis).where(Reanalysis.recording_id.in_(ids)),
        delete(Event).where(or_(Event.topic.in_(analyses), Event.topic.in_(ids))),
        delete(AnalysisRow).where(AnalysisRow.recording_id.in_(ids)),
        delete(Recording).where(Recording.id.in_(ids)),
    )
    return {str(one.table.name): await deleted(session, one) for one in doomed}


async def deleted(session: AsyncSession, statement: object) -> int:
    result = await session.execute(statement)  # type: ignore[call-overload]
    assert isinstance(result, CursorResult)
    return result.rowcount
