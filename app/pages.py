"""Pages: lists cut by cursor, newest first."""

import base64
import binascii
from typing import Annotated, TypeVar

from fastapi import Query
from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession

from app import ids
from app.errors import BadRequest
from app.tables import (
    Account,
    AuditEntry,
    Coaching,
    ConsentChange,
    Job,
    Recording,
    RolloutEvent,
)

Row = TypeVar("Row", AuditEntry, ConsentChange, RolloutEvent)
Known = TypeVar("Known", Account, Coaching)
Named = TypeVar("Named", Account, AuditEntry, Coaching, ConsentChange, Job, Recording, RolloutEvent)

Limit = Annotated[int, Query(ge=1, le=100, description="Most items on a page.")]
Cursor = Annotated[
    str | None, Query(max_length=200, description="`next_cursor` of the page before.")
]


async def counted(
    session: AsyncSession, table: type[Row], query: Select[Row], limit: int, cursor: str | None
) -> tuple[list[Row], str | None]:
    """A page of the table's rows that the query selects, and the cursor of the next one."""
    if cursor is not None:
        last_id = _number(cursor)
        if await session.scalar(query.where(table.id == last_id)) is None:
            raise bad_cursor()
        query = query.where(table.id < last_id)
    found = list(await session.scalars(query.order_by(table.id.desc()).limit(limit + 1)))
    return cut(found, limit)


async def named(
    session: AsyncSession,
    table: type[Known],
    prefix: ids.Prefix,
    query: Select[Known],
    limit: int,
    cursor: str | None,
) -> tuple[list[Known], str | None]:
    """The same where ids are names: whoever cannot see the row of a cursor has forged it."""
    if cursor is not None:
        last_id = decode(prefix, cursor)
        if await session.scalar(query.where(table.id == last_id)) is None:
            raise bad_cursor()
        query = query.where(table.id < last_id)
    found = list(await session.scalars(query.order_by(table.id.desc()).limit(limit + 1)))
    return cut(found, limit)


def cut(found: list[Named], limit: int) -> tuple[list[Named], str | None]:
    """At most `limit` of them, and the cursor of the next page where there was one more."""
    rest = len(found) > limit
    return found[:limit], encode(str(found[limit - 1].id)) if rest else None


def encode(last_id: str) -> str:
    return base64.urlsafe_b64encode(last_id.encode()).decode().rstrip("=")


def decode(prefix: ids.Prefix, cursor: str) -> str:
    """The id after which the page starts. Raises BadRequest."""
    last_id = _text(cursor)
    if not ids.valid(prefix, last_id):
        raise bad_cursor()
    return last_id


def _number(cursor: str) -> int:
    last_id = _text(cursor)
    if not last_id.isdigit() or len(last_id) > 18:
        raise bad_cursor()
    return int(last_id)


def _text(cursor: str) -> str:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeError) as error:
        raise bad_cursor() from error


def bad_cursor() -> BadRequest:
    return BadRequest("That cursor is not one of ours.", code="bad_cursor")
