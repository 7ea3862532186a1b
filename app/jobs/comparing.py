"""Comparing: the new results of a reanalysis beside the latest of another version, from tables."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Text, and_, column, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.jobs.report import (
    NAMED,
    FamilyReport,
    Pairs,
    Report,
    Unmeasured,
    address,
    biggest_movers,
    by_effect,
)
from app.jobs.schemas import Pin, Reanalysing
from app.jobs.selecting import counts, digest, selected, settled
from app.tables import AnalysisRow, Json, Reanalysis, Recording, State
from models.results import Family, Reason

CHUNK = 200  # recordings compared at once

Transaction = Callable[[], AbstractAsyncContextManager[AsyncSession]]


@dataclass(frozen=True, slots=True)
class _Found:
    """A family's result on a recording, as far as a comparison needs it."""

    values: Mapping[str, float]
    reason: str | None  # of its absence
    detail: str
    label: str | None
    version: str = ""
    units: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Gathered:
    """What is known of one family so far."""

    pairs: defaultdict[str, Pairs] = field(default_factory=lambda: defaultdict(Pairs))
    compared_with: Counter[str] = field(default_factory=Counter)
    labels: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    results: int = 0
    failed: int = 0
    first: int = 0
    newly: int = 0
    no_longer: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)

    def add(self, recording_id: str, new: _Found, old: _Found | None) -> None:
        self.results += 1
        if new.reason == Reason.failed:
            self.failed += 1
            self.failures.append((recording_id, new.detail))
        if old is None:
            self.first += 1
        else:
            self._compare(recording_id, new, old)
        for name, value in new.values.items():
            pairs = self.pairs[name]
            pairs.unit = new.units.get(name, pairs.unit)
            pairs.add(recording_id, old.values.get(name) if old else None, value)

    def _compare(self, recording_id: str, new: _Found, old: _Found) -> None:
        self.compared_with[old.version] += 1
        if old.reason and not new.reason:
            self.newly += 1
        elif new.reason and not old.reason:
            self.no_longer.append(recording_id)
        if old.label and new.label:
            self.labels[old.label][new.label] += 1


async def compare(transaction: Transaction, asked: Reanalysing, job_id: str) -> Report:
    """The report over all recordings of the selection that have a result by now."""
    gathered: dict[Family, _Gathered] = {family: _Gathered() for family in asked.families}
    last_id = ""
    while True:
        async with transaction() as session:
            if not (chunk := await _next(session, asked, last_id)):
                break
            for family, mine in gathered.items():
                await _gather(session, asked, job_id, family, chunk, mine)
        last_id = chunk[-1]
    async with transaction() as session:
        found = await counts(session, asked, job_id)
    families = [_family(asked, family, mine) for family, mine in gathered.items()]
    return Report(
        job_id=job_id,
        made_at=datetime.now(UTC),
        recordings=found.recordings,
        results=found.done,
        failed=found.failed,
        families=families,
        biggest_movers=biggest_movers(families),
        failures=_failures(gathered),
    )


async def _next(session: AsyncSession, asked: Reanalysing, last_id: str) -> Sequence[str]:
    query = (
        selected(asked)
        .with_only_columns(Recording.id)
        .where(Recording.id > last_id)
        .order_by(Recording.id)
        .limit(CHUNK)
    )
    return (await session.execute(query)).scalars().all()


async def _gather(
    session: AsyncSession,
    asked: Reanalysing,
    job_id: str,
    family: Family,
    chunk: Sequence[str],
    into: _Gathered,
) -> None:
    before = await _before(session, asked, family, chunk)
    for recording_id, new in await _after(session, asked, job_id, family, chunk):
        into.add(recording_id, new, before.get(recording_id))


async def _after(
    session: AsyncSession, asked: Reanalysing, job_id: str, family: Family, chunk: Sequence[str]
) -> list[tuple[str, _Found]]:
    units = _each(Reanalysis.result["measures"], "unit")
    query = (
        select(Reanalysis.recording_id, Reanalysis.measured, *_told(Reanalysis.result), units)
        .where(
            settled(asked, job_id),
            Reanalysis.family == family,
            Reanalysis.recording_id.in_(chunk),
        )
        .order_by(Reanalysis.recording_id)
    )
    version = asked.pins[family].version
    return [
        (found_id, _Found(_numbers(values), reason, detail or "", label, version, named or {}))
        for found_id, values, reason, detail, label, named in await session.execute(query)
    ]


async def _before(
    session: AsyncSession, asked: Reanalysing, family: Family, chunk: Sequence[str]
) -> dict[str, _Found]:
    """The latest result of something else, of singers' analyses and of earlier reanalyses."""
    candidates = [
        *await _in_analyses(session, asked, family, chunk),
        *await _in_reanalyses(session, asked, family, chunk),
    ]
    candidates.sort(key=lambda candidate: candidate[1])
    return {recording_id: found for recording_id, _, found in candidates}  # the last one stays


Candidate = tuple[str, datetime, _Found]


async def _in_analyses(
    session: AsyncSession, asked: Reanalysing, family: Family, chunk: Sequence[str]
) -> list[Candidate]:
    result = AnalysisRow.result[family]
    versions = AnalysisRow.result["versions"]
    values = _each(result["measures"], "value")
    query = select(
        AnalysisRow.recording_id, AnalysisRow.finished_at, versions, values, *_told(result)
    ).where(
        AnalysisRow.recording_id.in_(chunk),
        AnalysisRow.state == State.done,
        AnalysisRow.finished_at <= asked.until,
        AnalysisRow.families.contains([family]),
        AnalysisRow.options == asked.options.model_dump(mode="json"),
        result["version"]["version"].astext.is_not(None),
    )
    return [
        (found_id, at, _Found(_numbers(numbers), reason, detail or "", label, version))
        for found_id, at, stated, numbers, reason, detail, label in await session.execute(query)
        if (version := _other(asked, family, stated)) is not None
    ]


def _other(asked: Reanalysing, family: Family, stated: Json | None) -> str | None:
    """The version that answered, if that answer rests on something else than ours."""
    pins = {
        cast(Family, name): Pin(version=found["version"], sha256=found["sha256"])
        for name, found in (stated or {}).items()
    }
    if family not in pins or digest(family, pins, asked.options) == asked.digests[family]:
        return None
    return pins[family].version


async def _in_reanalyses(
    session: AsyncSession, asked: Reanalysing, family: Family, chunk: Sequence[str]
) -> list[Candidate]:
    ours = and_(
        Reanalysis.version == asked.pins[family].version,
        Reanalysis.sha256 == asked.digests[family],
    )
    query = select(
        Reanalysis.recording_id,
        Reanalysis.created_at,
        Reanalysis.version,
        Reanalysis.measured,
        *_told(Reanalysis.result),
    ).where(Reanalysis.recording_id.in_(chunk), Reanalysis.family == family, ~ours)
    return [
        (found_id, at, _Found(_numbers(values), reason, detail or "", label, version))
        for found_id, at, version, values, reason, detail, label in await session.execute(query)
    ]


def _told(result: Any) -> tuple[ColumnElement[Any], ...]:  # noqa: ANN401
    """Reason and detail of an absence, and the label that some families give."""
    absent = result["absent"]
    return absent["reason"].astext, absent["detail"].astext, result["label"].astext


def _each(measures: Any, what: str) -> Any:  # noqa: ANN401
    """{measure: its value, or its unit}, taken apart by the database: evidence stays there."""
    measure = func.jsonb_each(measures).table_valued(column("key", Text), column("value", JSONB))
    part = measure.c.value[what]
    return select(func.jsonb_object_agg(measure.c.key, part)).scalar_subquery()


def _numbers(values: Mapping[str, object] | None) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in (values or {}).items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def _family(asked: Reanalysing, family: Family, found: _Gathered) -> FamilyReport:
    return FamilyReport(
        family=family,
        version=asked.pins[family].version,
        sha256=asked.pins[family].sha256,
        compared_with=dict(found.compared_with),
        results=found.results,
        failed=found.failed,
        first=found.first,
        newly_measured=found.newly,
        no_longer_measured=len(found.no_longer),
        lost=[address(name) for name in found.no_longer[:NAMED]],
        labels={before: dict(after) for before, after in sorted(found.labels.items())},
        measures=by_effect(found.pairs),
    )


def _failures(gathered: Mapping[Family, _Gathered]) -> list[Unmeasured]:
    every: Iterable[Unmeasured] = (
        Unmeasured(recording_id=name, recording=address(name), family=family, detail=detail)
        for family, found in gathered.items()
        for name, detail in found.failures
    )
    return list(every)[:NAMED]
