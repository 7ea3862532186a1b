"""Storing the results of a reanalysis: each once, whoever writes it again."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic_core import to_json
from sqlalchemy import Text, column, func, select
from sqlalchemy import cast as as_type
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.selectable import TableValuedAlias

from app.jobs.schemas import Reanalysing
from app.jobs.selecting import not_failed
from app.tables import Reanalysis, Recording
from models.results import Family, FamilyResult, Reason, absent

_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")  # JSON may say it, PostgreSQL cannot keep it


@dataclass(frozen=True, slots=True)
class Measured:
    """One family's result on one recording, as JSON text."""

    recording_id: str
    family: Family
    result: str
    values: str  # {measure: value}; null where the measuring itself failed


def of_result(recording_id: str, family: Family, result: FamilyResult) -> Measured:
    failed = result.absent is not None and result.absent.reason == Reason.failed
    plain = {name: measure.value for name, measure in result.measures.items()}
    values = to_json(None if failed else plain).decode()
    return Measured(recording_id, family, _NUL.sub(r"\1", result.model_dump_json()), values)


def of_failure(recording_id: str, families: Sequence[Family], why: str) -> list[Measured]:
    """A recording that cannot be measured has results too: they say so."""
    return [
        of_result(recording_id, family, absent(family, Reason.failed, why)) for family in families
    ]


async def store(
    session: AsyncSession, asked: Reanalysing, job_id: str, rows: Sequence[Measured]
) -> None:
    """Safe to repeat: what is there stays, but for the failure of an earlier job."""
    found = _together(
        [row.recording_id for row in rows],
        [row.family for row in rows],
        [asked.pins[row.family].version for row in rows],
        [asked.digests[row.family] for row in rows],
        [row.result for row in rows],
        [row.values for row in rows],
    )
    query = insert(Reanalysis).from_select(
        ["job_id", *_COLUMNS],
        select(
            as_type(job_id, Text),
            *(found.c[name] for name in _COLUMNS[:4]),
            *(as_type(found.c[name], JSONB) for name in _COLUMNS[4:]),
        ).join(Recording, Recording.id == found.c.recording_id),
    )
    news = query.excluded
    again = query.on_conflict_do_update(
        constraint="uq_reanalyses_recording_id",
        set_={
            "job_id": news.job_id,
            "result": news.result,
            "measured": news.measured,
            "created_at": func.now(),
        },
        where=~not_failed() & (Reanalysis.job_id != news.job_id),
    )
    await session.execute(again)


def _together(*values: Sequence[str]) -> TableValuedAlias:
    """The columns as a table that the database reads: JSON goes there as the text it is."""
    unnested = func.unnest(*(as_type(list(each), ARRAY(Text)) for each in values))
    named = unnested.table_valued(*(column(name, Text) for name in _COLUMNS), name="found")
    return named.render_derived()


_COLUMNS = ("recording_id", "family", "version", "sha256", "result", "measured")
