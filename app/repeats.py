"""Repeats: what was answered to requests that their senders may send again."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import Conflict, Unprocessable
from app.sealing import Seal
from app.tables import IdempotencyKey

LONGEST_RUN = timedelta(hours=1)  # what has run for so long was cut off
_ENCODING = "latin-1"  # any bytes as text and back


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


async def claim(session: AsyncSession, user_id: str, key: str) -> IdempotencyKey | None:
    """None: it is ours, and nobody else runs it. Else what is known of the one before us."""
    fresh = insert(IdempotencyKey).values(user_id=user_id, key=key, fingerprint="")
    claimed = fresh.on_conflict_do_nothing().returning(IdempotencyKey.key)
    if await session.scalar(claimed) is not None:
        return None
    earlier = await session.get(IdempotencyKey, (user_id, key))
    if earlier is None:  # released in this very moment
        raise _running()
    return earlier


def answered(earlier: IdempotencyKey, fingerprint: str, seal: Seal) -> Answer:
    """What the same request was answered. Raises Conflict, Unprocessable."""
    check_finished(earlier)
    if earlier.fingerprint != seal.mark(fingerprint):
        raise Unprocessable("This key came with another request.", code="idempotency_mismatch")
    assert earlier.status is not None
    body = seal.open(earlier.body).encode(_ENCODING) if earlier.body else b""
    return Answer(earlier.status, earlier.headers, body)


def check_finished(earlier: IdempotencyKey) -> None:
    """Raises Conflict."""
    if earlier.status is not None:
        return
    if datetime.now(UTC) - earlier.created_at < LONGEST_RUN:
        raise _running()
    raise Conflict(
        "Whether the first request with this key took effect is not known: look, "
        "and use another key.",
        code="idempotency_unknown",
    )


def _running() -> Conflict:
    return Conflict("A request with this key is still running.", code="idempotency_running")


async def finish(
    session: AsyncSession, user_id: str, key: str, fingerprint: str, answer: Answer, seal: Seal
) -> None:
    """Sealed and marked: an answer may hold a secret that is shown once, a request a password."""
    await session.execute(
        update(IdempotencyKey)
        .where(IdempotencyKey.user_id == user_id, IdempotencyKey.key == key)
        .values(
            fingerprint=seal.mark(fingerprint),
            status=answer.status,
            headers=answer.headers,
            body=seal.close(answer.body.decode(_ENCODING)),
        )
    )


async def release(session: AsyncSession, user_id: str, key: str) -> None:
    """Nothing came of it: it may be tried again."""
    await session.execute(
        delete(IdempotencyKey).where(IdempotencyKey.user_id == user_id, IdempotencyKey.key == key)
    )
