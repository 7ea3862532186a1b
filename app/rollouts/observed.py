"""What was observed of a version since a moment, added up by the database."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Select,
    Text,
    cast,
    column,
    func,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.rollouts.observations import Seen, Spread
from app.tables import Observation

COUNTS = ("requests", "errors", "timeouts", "not_finite", "compared", "unlike")


async def since(
    session: AsyncSession, family: str, version: str, start: datetime | ColumnElement[Any]
) -> Seen:
    """A week of a canary is half a million rows: they are summed where they lie."""
    these = (
        Observation.family == family,
        Observation.version == version,
        Observation.at >= start,
    )
    counts = [func.coalesce(func.sum(_whole(Observation.seen[name].astext)), 0) for name in COUNTS]
    totals = (await session.execute(select(*counts).where(*these))).one()
    return Seen(
        **dict(zip(COUNTS, map(int, totals), strict=True)),
        latency={k: int(n) for k, n in await session.execute(_buckets().where(*these))},
        scores=_spreads(await session.execute(_sums("scores").where(*these))),
        measures=_spreads(await session.execute(_sums("measures").where(*these))),
    )


def _buckets() -> Select[Any]:
    each = func.jsonb_each_text(Observation.seen["latency"]).table_valued("key", "value", name="e")
    return (
        select(each.c.key, func.sum(_whole(each.c.value)))
        .select_from(Observation)
        .join(each, true())
        .group_by(each.c.key)
    )


def _sums(kind: str) -> Select[Any]:
    """Name, count, total, squares, largest of each spread."""
    each = func.jsonb_each(Observation.seen[kind]).table_valued(
        column("key", Text), column("value", JSONB), name="e"
    )
    spread = each.c.value
    return (
        select(
            each.c.key,
            func.sum(_whole(spread["count"].astext)),
            func.sum(_real(spread["total"].astext)),
            func.sum(_real(spread["squares"].astext)),
            func.max(_real(spread["largest"].astext)),
        )
        .select_from(Observation)
        .join(each, true())
        .group_by(each.c.key)
    )


def _spreads(rows: Any) -> dict[str, Spread]:  # noqa: ANN401
    return {
        name: Spread(count=int(count), total=total, squares=squares, largest=largest)
        for name, count, total, squares, largest in rows
    }


def _whole(text: ColumnElement[Any]) -> ColumnElement[int]:
    return cast(text, BigInteger)


def _real(text: ColumnElement[Any]) -> ColumnElement[float]:
    return cast(text, Double)
