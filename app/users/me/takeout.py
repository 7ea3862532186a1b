"""Take-out: everything that is held of somebody as a zip, made while it is sent."""

import asyncio
import io
import json
import re
import zipfile
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import Any

from sqlalchemy import Select, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from typing_extensions import Buffer

from app import audit
from app.services import Services
from app.tables import Account, Json, Recording
from app.users import one_time
from app.users.me.held import HELD, Held

PURPOSE = "takeout"
LIVES = timedelta(minutes=15)  # of the address; a download that has begun goes on
SOUND = "sound/"
SUFFIX = re.compile(r"\.[a-z0-9]{1,5}")
[RECORDINGS] = (held for held in HELD if held.table is Recording)
README = """Everything that Nexus Vocality holds of you.

*.json      one list for each table, a row a line. Left out are secrets (of passwords, keys and
            second factors nothing is kept that could be used elsewhere) and copies of the rest.
sound/      your recordings as they came, by their id in recordings.json. Where none lies, its
            sound had been deleted before (`sound_deleted_at`).
"""


async def address(session: AsyncSession, account: Account) -> tuple[str, datetime]:
    """A token that opens the take-out of this account for a while, and until when."""
    token = await one_time.issue(session, PURPOSE, account.id, {}, LIVES.total_seconds())
    audit.record(session, account.id, "account.takeout", f"users:{account.id}", {})
    return token, datetime.now(UTC) + LIVES


async def opened(services: Services, token: str) -> Account:
    """Whose it is. The token goes on being good: a download may break. Raises Unauthorized."""
    async with services.transaction() as session:
        found = await one_time.look(session, PURPOSE, token)
        return await session.get_one(Account, found.user_id)


class _Sink(io.RawIOBase):
    """What a zip is written into when nobody can seek: taken out as it comes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, part: Buffer) -> int:
        self._parts.append(bytes(part))
        return len(self._parts[-1])

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


async def zipped(services: Services, account: Account) -> AsyncIterator[bytes]:
    """The zip's bytes. No more than a page of rows or a piece of sound is in memory, and no
    transaction is open while they travel."""
    sink = _Sink()
    archive = zipfile.ZipFile(sink, "w")
    async for name, pieces in _files(services, account):
        with archive.open(_entry(name), "w", force_zip64=True) as file:
            async for piece in pieces:
                await asyncio.to_thread(file.write, piece)
                yield sink.take()
        yield sink.take()
    archive.close()
    yield sink.take()


def _entry(name: str) -> zipfile.ZipInfo:
    """Sound is compressed by itself, or does not get much smaller."""
    now = datetime.now(UTC)
    entry = zipfile.ZipInfo(name, (now.year, now.month, now.day, now.hour, now.minute, now.second))
    entry.compress_type = zipfile.ZIP_STORED if name.startswith(SOUND) else zipfile.ZIP_DEFLATED
    return entry


async def _files(
    services: Services, account: Account
) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
    yield "README.txt", _readme()
    for held in HELD:
        if held.copied:
            yield f"{held.table.__tablename__}.json", _listed(services, held, account)
    async for page in _pages(services, RECORDINGS, account):
        for row in page:
            if row["sound_deleted_at"] is None and await services.storage.exists(row["key"]):
                name = f"{SOUND}{row['id']}{_suffix(row['name'])}"
                yield name, services.storage.stream(row["key"])


async def _readme() -> AsyncIterator[bytes]:
    yield README.encode()


async def _listed(services: Services, held: Held, account: Account) -> AsyncIterator[bytes]:
    """A JSON list, a row a line."""
    between = "[\n"
    async for page in _pages(services, held, account):
        for row in page:
            shown = {name: value for name, value in row.items() if name not in held.secret}
            yield (between + await asyncio.to_thread(_as_json, shown)).encode()
            between = ",\n"
    yield b"\n]\n" if between == ",\n" else b"[]\n"


def _as_json(row: Json) -> str:
    return json.dumps(row, default=datetime.isoformat, ensure_ascii=False)


async def _pages(services: Services, held: Held, account: Account) -> AsyncIterator[Sequence[Json]]:
    table = held.table.__table__
    keys = list(table.primary_key)
    query = select(*table.columns).where(held.whose(account)).order_by(*keys).limit(held.rows)
    page = await _fetched(services, query)
    while page:
        yield page
        last = tuple_(*(literal(page[-1][key.name], key.type) for key in keys))
        page = await _fetched(services, query.where(tuple_(*keys) > last))


async def _fetched(services: Services, query: Select[Any]) -> Sequence[Json]:
    async with services.transaction() as session:
        return [dict(row) for row in (await session.execute(query)).mappings()]


def _suffix(name: str) -> str:
    """Of the file that it came as, where that is a plain one."""
    suffix = PurePath(name).suffix.lower()
    return suffix if SUFFIX.fullmatch(suffix) else ""
