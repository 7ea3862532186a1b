"""Pages: lists cut by cursor, newest first."""

import base64
import binascii
from typing import Annotated

from fastapi import Query

from app import ids
from app.errors import BadRequest

Limit = Annotated[int, Query(ge=1, le=100, description="Most items on a page.")]
Cursor = Annotated[
    str | None, Query(max_length=200, description="`next_cursor` of the page before.")
]


def encode(last_id: str) -> str:
    return base64.urlsafe_b64encode(last_id.encode()).decode().rstrip("=")


def decode(prefix: ids.Prefix, cursor: str) -> str:
    """The id after which the page starts. Raises BadRequest."""
    last_id = _text(cursor)
    if not ids.valid(prefix, last_id):
        raise bad_cursor()
    return last_id


def decode_number(cursor: str) -> int:
    """The same for rows that are counted. Raises BadRequest."""
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
