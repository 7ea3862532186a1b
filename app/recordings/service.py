"""What can be done with a recording. Knows the database and storage, never HTTP."""

import asyncio
import os
import tempfile
import unicodedata
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import consents, ids, pages
from app.analyses import queue
from app.analyzer import Inspection
from app.coaching import sight
from app.errors import NotFound
from app.security import User
from app.services import Services
from app.storage import chunks_of
from app.tables import Recording
from app.users import presence
from app.users.me import profile
from models.engine import Options
from models.graph import FAMILIES

MAX_NAME = 200  # characters


def visible_to(user: User) -> Select[Recording]:
    """Every query of recordings starts here: nobody reads another singer's takes, but a coach
    whom that singer has accepted."""
    return _ever_visible_to(user).where(Recording.deleted_at.is_(None))


def _ever_visible_to(user: User) -> Select[Recording]:
    return select(Recording).where(sight.shown_to(user, Recording.owner_id))


def owned_by(user: User) -> Select[Recording]:
    """What they may also change."""
    return visible_to(user).where(Recording.owner_id == user.id)


async def get(session: AsyncSession, user: User, recording_id: str) -> Recording:
    return await _one(session, visible_to(user), recording_id)


async def get_own(session: AsyncSession, user: User, recording_id: str) -> Recording:
    return await _one(session, owned_by(user), recording_id)


async def _one(session: AsyncSession, query: Select[Recording], recording_id: str) -> Recording:
    found = None
    if ids.valid("rec", recording_id):
        found = await session.scalar(query.where(Recording.id == recording_id))
    if found is None:
        raise NotFound("No such recording.")
    return found


async def page(
    session: AsyncSession, user: User, singer_id: str, limit: int, cursor: str | None
) -> tuple[Sequence[Recording], str | None]:
    """That singer's, newest first, and the cursor of the next page."""
    query = visible_to(user).where(Recording.owner_id == singer_id)
    if cursor is not None:
        query = query.where(Recording.id < await _start(session, user, singer_id, cursor))
    query = query.order_by(Recording.id.desc()).limit(limit + 1)
    return pages.cut(list(await session.scalars(query)), limit)


async def _start(session: AsyncSession, user: User, singer_id: str, cursor: str) -> str:
    """A cursor of somebody else is as bad as a forged one; one of a deleted recording is good."""
    last_id = pages.decode("rec", cursor)
    theirs = _ever_visible_to(user).where(Recording.owner_id == singer_id)
    if await session.scalar(theirs.where(Recording.id == last_id)) is None:
        raise pages.bad_cursor()
    return last_id


async def create(services: Services, user: User, name: str | None, upload: BinaryIO) -> Recording:
    """Look into a take, keep it, remember it. Raises UnreadableAudio.

    Opens its own transaction: none may be open while a file travels, and a row that cannot be
    written must not leave its object behind.
    """
    async with on_disk(upload) as path:
        inspection = await services.inspector.inspect(path)
        recording = _described(user, name, inspection)
        with path.open("rb") as file:
            stored = await services.storage.put(recording.key, chunks_of(file))
    recording.sha256, recording.size_bytes = stored.sha256, stored.size_bytes
    try:
        async with services.transaction() as session:
            await _keep(session, recording)
    except BaseException:
        await asyncio.shield(services.storage.delete(recording.key))
        raise
    return recording


async def _keep(session: AsyncSession, recording: Recording) -> None:
    """With its analysis, for who wants the sound analysed and forgotten."""
    await presence.assure(session, recording.owner_id)
    settings = await profile.settings_of_id(session, recording.owner_id)
    recording.forgets = settings.privacy.analyse_and_forget
    session.add(recording)
    await session.flush()
    await session.refresh(recording)
    if recording.forgets:
        await consents.require(session, recording.owner_id, "analysis")
        options = Options(a4_hz=settings.preferences.a4_hz)
        await queue.add(session, recording.owner_id, recording.id, FAMILIES, options)


def _described(user: User, name: str | None, inspection: Inspection) -> Recording:
    recording_id, source = ids.new("rec"), inspection.source
    return Recording(
        id=recording_id,
        owner_id=user.id,
        name=clean_name(name),
        key=f"recordings/{recording_id}/master",
        duration_s=inspection.seconds,
        container=source.container,
        codec=source.codec,
        sample_rate_hz=source.sample_rate,
        channels=source.channels,
    )


def clean_name(name: str | None) -> str:
    """A file name as a label: its last part, without what a terminal or a page would obey."""
    last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    shown = "".join(c for c in last if unicodedata.category(c)[0] != "C").strip(" .")
    return shown[:MAX_NAME] or "untitled"


@asynccontextmanager
async def on_disk(upload: BinaryIO) -> AsyncIterator[Path]:
    """The upload as a file with a path, for as long as it is needed."""
    handle, name = await asyncio.to_thread(tempfile.mkstemp, prefix="vocality-")
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            async for chunk in chunks_of(upload):
                await asyncio.to_thread(file.write, chunk)
        yield path
    finally:
        path.unlink(missing_ok=True)
