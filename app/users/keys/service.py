"""API keys: a program's way in, with the scopes it was given and none that its account lacks."""

from collections.abc import Collection
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, clock, ids, mail
from app.errors import Conflict, NotFound
from app.permissions import SCOPES, Permission, require_to_give
from app.sealing import digest, opaque
from app.security import User
from app.tables import Account, ApiKey
from app.users import accounts, letters

PREFIX = "voc_"  # what tells a key from a token, for us and for whoever scans for leaked secrets
MOST = 50  # live keys of one account
DAY_S = 24 * 3600.0
SEEN = timedelta(minutes=1)  # how exact `used_at` is: not every request is a write


class Shown(NamedTuple):
    """What a key that was shown opens."""

    account_id: str
    scopes: frozenset[str]


class Made(NamedTuple):
    """A fresh key; its text is known here and never again."""

    row: ApiKey
    text: str


async def resolve(session: AsyncSession, key: str) -> Shown | None:
    """Whose key this is and what it may be used for; None for any that is not good now."""
    if not key.startswith(PREFIX):
        return None
    stale = or_(ApiKey.used_at.is_(None), ApiKey.used_at < clock.now() - SEEN)
    query = select(ApiKey.id, ApiKey.user_id, ApiKey.scopes, stale)
    found = (await session.execute(query.where(ApiKey.digest == digest(key), _live()))).first()
    if found is None:
        return None
    key_id, account_id, scopes, is_stale = found
    if is_stale:
        used = update(ApiKey).where(ApiKey.id == key_id).values(used_at=clock.now())
        await session.execute(used.execution_options(synchronize_session=False))
    return Shown(account_id, frozenset(scopes))


def _live() -> ColumnElement[bool]:
    unexpired = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > clock.now())
    return ApiKey.revoked_at.is_(None) & unexpired


def _of(account_id: str) -> Select[ApiKey]:
    return select(ApiKey).where(ApiKey.user_id == account_id)


async def create(
    session: AsyncSession,
    user: User,
    account: Account,
    *,
    name: str,
    scopes: Collection[Permission],
    lives_days: int | None,
) -> Made:
    """A key of that account, which must be locked."""
    require_to_give(user, scopes)
    counted = select(func.count()).select_from(_of(account.id).where(_live()).subquery())
    if (await session.scalar(counted) or 0) >= MOST:
        raise Conflict(f"An account has at most {MOST} keys: revoke one.", code="too_many_keys")
    made = add(session, account.id, name=name, scopes=scopes)
    if lives_days is not None:
        made.row.expires_at = clock.after(lives_days * DAY_S)
    note(session, user.id, "create", made.row)
    if address := accounts.reachable(account):
        mail.write(session, address, *letters.key_made(name))
    await session.flush()
    await session.refresh(made.row)
    return made


def add(
    session: AsyncSession, account_id: str, *, name: str, scopes: Collection[str] = SCOPES
) -> Made:
    """Asks nobody's leave and tells nobody: `create` does."""
    text = PREFIX + opaque()
    row = ApiKey(
        id=ids.new("key"),
        user_id=account_id,
        name=name,
        digest=digest(text),
        scopes=sorted(scopes),
    )
    session.add(row)
    return Made(row, text)


async def every(session: AsyncSession, account_id: str) -> list[ApiKey]:
    """Newest first; revoked ones are gone from sight."""
    query = _of(account_id).where(ApiKey.revoked_at.is_(None)).order_by(ApiKey.id.desc())
    return list(await session.scalars(query))


async def revoke(session: AsyncSession, user: User, account_id: str, key_id: str) -> None:
    """In effect at once: no key is remembered from request to request. Safe to repeat."""
    row = None
    if ids.valid("key", key_id):
        row = await session.scalar(_of(account_id).where(ApiKey.id == key_id).with_for_update())
    if row is None:
        raise NotFound("No such key.")
    if row.revoked_at is None:
        row.revoked_at = await session.scalar(select(clock.now()))
        note(session, user.id, "revoke", row)


async def end_all(session: AsyncSession, account_id: str) -> None:
    """Of an account that somebody else may have been in."""
    theirs = update(ApiKey).where(ApiKey.user_id == account_id, ApiKey.revoked_at.is_(None))
    await session.execute(theirs.values(revoked_at=clock.now()))


def note(session: AsyncSession, actor_id: str, what: str, row: ApiKey) -> None:
    details = {"name": row.name, "of": row.user_id}
    audit.record(session, actor_id, f"api_key.{what}", f"api_keys:{row.id}", details)
