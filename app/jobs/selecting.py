"""What a reanalysis covers: its versions, its recordings, and how much of it is done."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app import consents
from app.errors import Unprocessable
from app.jobs.schemas import Pin, Reanalysing, ReanalysisIn
from app.tables import AnalysisRow, ModelVersion, Reanalysis, Recording, Rollout, State
from models.engine import Options
from models.graph import closure, inputs_of
from models.results import Family, schema_digest

ROLES = ("champion", "challenger", "shadow", "previous")


async def decide(session: AsyncSession, asked: ReanalysisIn) -> Reanalysing:
    """What was asked with every version decided. Raises Unprocessable."""
    wanted = closure(asked.families)
    pins = {
        family: await _pin(session, family, asked.versions.get(family, "champion"))
        for family in wanted
    }
    return Reanalysing(
        selection=asked.selection,
        families=asked.families,
        options=asked.options,
        via=asked.via,
        pins=pins,
        digests={family: digest(family, pins, asked.options) for family in asked.families},
        until=await session.scalar(select(func.now())),
    )


async def _pin(session: AsyncSession, family: Family, named: str) -> Pin:
    number = await _number(session, family, named)
    row = await session.get(ModelVersion, (family, number)) if number else None
    if row is None:
        shown = "no version " + named if named not in (*ROLES, "latest") else f"no {named}"
        raise Unprocessable(f"{family} has {shown}.", code="unknown_version")
    if row.schema_digest != schema_digest(family):
        raise Unprocessable(
            f"Version {number} of {family} answers in another schema than this release reads.",
            code="schema_differs",
        )
    return Pin(version=row.version, sha256=row.sha256)


async def _number(session: AsyncSession, family: Family, named: str) -> str | None:
    if named in ROLES:
        rollout = await session.get(Rollout, family)
        return cast(str | None, getattr(rollout, named)) if rollout else None
    if named != "latest":
        return named
    query = select(ModelVersion.version).where(ModelVersion.family == family)
    numbers = [version for version in await session.scalars(query) if version.isdigit()]
    return max(numbers, key=int, default=None)


def digest(family: Family, pins: Mapping[Family, Pin], options: Options) -> str:
    """Of all that decides the family's result on a take: equal digests, equal results."""
    inputs = inputs_of(family, pins)
    if not inputs and options == Options():
        return pins[family].sha256
    rests_on = {name: pins[name].sha256 for name in (family, *inputs) if name in pins}
    text = json.dumps([rests_on, options.model_dump(mode="json")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def selected(asked: Reanalysing) -> Select[Recording]:
    """The recordings of the selection that are still there and may be measured."""
    chosen = asked.selection
    query = select(Recording).where(
        Recording.deleted_at.is_(None),
        Recording.sound_deleted_at.is_(None),
        Recording.created_at <= asked.until,
        ~consents.refused(Recording.owner_id, "analysis"),
    )
    if chosen.ids is not None:
        return query.where(Recording.id.in_(chosen.ids))
    return query.where(*_bounds(asked))


def _bounds(asked: Reanalysing) -> Iterator[ColumnElement[bool]]:
    chosen = asked.selection
    if chosen.owner_id is not None:
        yield Recording.owner_id == chosen.owner_id
    if chosen.created_from is not None:
        yield Recording.created_at >= chosen.created_from
    if chosen.created_to is not None:
        yield Recording.created_at < chosen.created_to
    if chosen.shortest_s is not None:
        yield Recording.duration_s >= chosen.shortest_s
    if chosen.longest_s is not None:
        yield Recording.duration_s <= chosen.longest_s
    if chosen.measured:
        yield _measured(asked)


def _measured(asked: Reanalysing) -> ColumnElement[bool]:
    return (
        select(AnalysisRow.id)
        .where(
            AnalysisRow.recording_id == Recording.id,
            AnalysisRow.state == State.done,
            AnalysisRow.finished_at <= asked.until,
            AnalysisRow.families.contains(list(asked.selection.measured)),
        )
        .exists()
    )


def settled(asked: Reanalysing, job_id: str) -> ColumnElement[bool]:
    """Rows that need no more work: of these versions, and not the failure of an earlier job."""
    keys = [
        (family, asked.pins[family].version, asked.digests[family]) for family in asked.families
    ]
    columns = tuple_(Reanalysis.family, Reanalysis.version, Reanalysis.sha256)
    return and_(columns.in_(keys), or_(Reanalysis.job_id == job_id, not_failed()))


def not_failed() -> ColumnElement[bool]:
    """By a small column: a result with its frames is nothing to count by."""
    return func.jsonb_typeof(Reanalysis.measured) != "null"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A recording of which these families are yet to be measured."""

    recording_id: str
    key: str
    seconds: float
    families: tuple[Family, ...]


async def waiting(
    session: AsyncSession, asked: Reanalysing, job_id: str, limit: int
) -> Sequence[Waiting]:
    """Longest first, so that takes of like length come together and none is left for the end."""
    done = (
        select(func.array_agg(Reanalysis.family))
        .where(Reanalysis.recording_id == Recording.id, settled(asked, job_id))
        .scalar_subquery()
    )
    query = (
        selected(asked)
        .with_only_columns(Recording.id, Recording.key, Recording.duration_s, done)
        .where(func.coalesce(func.cardinality(done), 0) < len(asked.families))
        .order_by(Recording.duration_s.desc(), Recording.id)
        .limit(limit)
    )
    return [
        Waiting(found_id, key, seconds, tuple(f for f in asked.families if f not in (there or ())))
        for found_id, key, seconds, there in await session.execute(query)
    ]


@dataclass(frozen=True, slots=True)
class Counts:
    """How a reanalysis stands, counted in its tables."""

    recordings: int
    results: int  # wanted: one for each recording and family
    done: int
    failed: int  # of those done

    def shown(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


async def counts(session: AsyncSession, asked: Reanalysing, job_id: str) -> Counts:
    chosen = selected(asked).with_only_columns(Recording.id)
    recordings = await session.scalar(select(func.count()).select_from(chosen.subquery())) or 0
    query = select(func.count(), func.count().filter(~not_failed())).where(
        settled(asked, job_id), Reanalysis.recording_id.in_(chosen)
    )
    done, failed = (await session.execute(query)).one()
    return Counts(recordings, recordings * len(asked.families), done, failed)
