"""Keeping observations: each for an hour, ten minutes as one for a month, then not at all."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.rollouts.guardrails import LONGEST_WINDOW_S
from app.rollouts.observations import Seen, summed
from app.tables import Observation

FINE = timedelta(seconds=LONGEST_WINDOW_S)
STRETCH = timedelta(minutes=10)
KEPT = timedelta(days=30)
AT_ONCE = 50  # stretches of one call, so that no transaction is long
NOON = datetime(2000, 1, 1, 12, tzinfo=UTC)  # any moment: stretches are counted from there


async def tidy(session: AsyncSession) -> int:
    """A trial of a week would be half a million rows. How many stretches became one row each."""
    now = func.clock_timestamp()
    await session.execute(delete(Observation).where(Observation.at < now - KEPT))
    start = func.date_bin(STRETCH, Observation.at, NOON).label("start")
    old = select(Observation.family, Observation.version, start).where(Observation.at < now - FINE)
    each = old.subquery().c
    stretches = (
        select(each.family, each.version, each.start)
        .where(each.start < now - FINE - STRETCH)
        .group_by(each.family, each.version, each.start)
        .having(func.count() > 1)
        .limit(AT_ONCE)
    )
    found = (await session.execute(stretches)).all()
    for family, version, begin in found:
        await _merge(session, family, version, begin)
    return len(found)


async def _merge(session: AsyncSession, family: str, version: str, begin: datetime) -> None:
    """The sum lies at the latest moment of them: a trial that began meanwhile loses nothing."""
    these = (
        Observation.family == family,
        Observation.version == version,
        Observation.at >= begin,
        Observation.at < begin + STRETCH,
    )
    taken = delete(Observation).where(*these).returning(Observation.at, Observation.seen)
    if rows := (await session.execute(taken)).all():
        whole = summed(Seen.model_validate(seen) for _, seen in rows)
        latest = max(at for at, _ in rows)
        as_json = whole.model_dump(mode="json")
        session.add(Observation(family=family, version=version, at=latest, seen=as_json))
        await session.flush()
