"""Drift: how each version's results are spread lately, against those on its own material."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app import database
from app.errors import DatabaseDown
from app.tables import Json, ModelVersion, ResultHour
from app.telemetry import Metrics
from models import profiles
from models.profiles import Counted, Profile, Sketch
from models.results import RESULT_TYPES, Analysis, FamilyResult

EVERY_S = 10.0
MOST_WAITING = (
    2_000  # results of one version; those that come while the database is away are let go
)
WINDOW = timedelta(hours=24)
KEPT = timedelta(days=90)
FEWEST = 100  # takes: the index of fewer is mostly chance

log = structlog.get_logger(__name__)
Key = tuple[str, str]  # family and digest of the version


@dataclass(slots=True)
class Tally:
    """What was found since it was last written down."""

    waiting: dict[Key, list[Sketch]] = field(default_factory=dict)

    def add(self, analysis: Analysis) -> None:
        for family in RESULT_TYPES:
            result: FamilyResult = getattr(analysis, family)
            if result.version is not None:
                self._add((family, result.version.sha256), [profiles.sketch(result)])

    def _add(self, key: Key, found: Iterable[Sketch]) -> None:
        waiting = self.waiting.setdefault(key, [])
        waiting += list(found)[: MOST_WAITING - len(waiting)]

    async def write(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        """Into the hour's rows. Raises DatabaseDown, and then it all waits for the next time."""
        taken, self.waiting = self.waiting, {}
        try:
            async with database.outages(), sessions.begin() as session:
                for key in sorted(taken):  # in one order for all who write
                    await _write(session, key, taken[key])
                await session.execute(delete(ResultHour).where(ResultHour.hour < _hour() - KEPT))
        except BaseException:
            for key, found in taken.items():
                self._add(key, found)
            raise


async def write_forever(tally: Tally, sessions: async_sessionmaker[AsyncSession]) -> None:
    """Every few seconds, and once more at the end."""
    try:
        while True:
            await asyncio.sleep(EVERY_S)
            await _try_to_write(tally, sessions)
    finally:
        await _try_to_write(tally, sessions)


async def _try_to_write(tally: Tally, sessions: async_sessionmaker[AsyncSession]) -> None:
    try:
        if tally.waiting:
            await tally.write(sessions)
    except DatabaseDown:
        pass
    except Exception:  # it must go on: analyses do not depend on it
        log.exception("results_not_counted")


async def show(session: AsyncSession, metrics: Metrics) -> None:
    """The gauges of every version that answered lately and whose own material is known."""
    found = await lately(session)
    for gauge in (metrics.result_takes, metrics.result_mean, metrics.result_shift):
        gauge.clear()
    for one in found:
        metrics.result_takes.labels(*one.version).set(one.served.takes)
        for of, counted in (("served", one.served), ("training", one.profile.counted)):
            for measure, sums in counted.measures.items():
                if (mean := sums.mean) is not None:
                    metrics.result_mean.labels(*one.version, measure, of).set(mean)
        if one.served.takes >= FEWEST:
            for measure, shift in one.profile.shifts(one.served).items():
                metrics.result_shift.labels(*one.version, measure).set(shift)


@dataclass(frozen=True, slots=True)
class Spread:
    """A version's results: those it was made with, and those of the latest day."""

    version: tuple[str, str]  # family and number
    profile: Profile
    served: Counted


async def lately(session: AsyncSession) -> list[Spread]:
    recent = ResultHour.hour > func.now() - WINDOW
    query = select(ResultHour.family, ResultHour.sha256, ResultHour.counted).where(recent)
    hours = list(await session.execute(query))
    known = await session.scalars(
        select(ModelVersion).where(
            tuple_(ModelVersion.family, ModelVersion.sha256).in_({(f, d) for f, d, _ in hours})
        )
    )
    versions = {(version.family, version.sha256): version for version in known}
    return await asyncio.to_thread(_summed, hours, versions)


def _summed(
    hours: Iterable[tuple[str, str, Json]], versions: Mapping[Key, ModelVersion]
) -> list[Spread]:
    found = dict[Key, Spread]()
    for family, sha256, counted in hours:
        if version := versions.get(key := (family, sha256)):
            if key not in found:
                profile = Profile.model_validate(version.profile)
                found[key] = Spread((family, version.version), profile, Counted())
            found[key].served.merge(Counted.model_validate(counted))
    return list(found.values())


async def _write(session: AsyncSession, key: Key, sketches: Sequence[Sketch]) -> None:
    """Nothing for a version whose own material is not known: there is nothing to hold it to."""
    family, sha256 = key
    own = ModelVersion.family == family, ModelVersion.sha256 == sha256, ModelVersion.profile != {}
    if not (profile := await session.scalar(select(ModelVersion.profile).where(*own).limit(1))):
        return
    fresh = Profile.model_validate(profile).count(sketches)
    blank = insert(ResultHour).values(
        family=family, sha256=sha256, hour=_hour(), counted=Counted().model_dump()
    )
    await session.execute(blank.on_conflict_do_nothing())
    this = ResultHour.family == family, ResultHour.sha256 == sha256, ResultHour.hour == _hour()
    row = (await session.scalars(select(ResultHour).where(*this).with_for_update())).one()
    counted = Counted.model_validate(row.counted)
    counted.merge(fresh)
    row.counted = counted.model_dump()


def _hour() -> ColumnElement[datetime]:
    return func.date_trunc("hour", func.now())
