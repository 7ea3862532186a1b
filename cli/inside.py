"""Work at the platform's own database, for whoever runs it: no key is asked, no door is needed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app import database, embedded, migrations
from app.errors import AppError
from app.settings import Settings, settings
from cli.asking import fail

ACTOR = "console"  # as the audit log calls whoever sits at this machine

Answer = TypeVar("Answer")
Work = Callable[[AsyncSession], Awaitable[Answer]]


def do(work: Work[Answer]) -> Answer:
    """One transaction. What is refused is said, with exit status 1."""
    try:
        with _servers() as found:
            return asyncio.run(_transaction(str(found.database_url), work))
    except AppError as error:
        faults = [f"{fault.pointer.lstrip('/')}: {fault.detail}" for fault in error.faults]
        fail("\n".join([f"{error.detail} ({error.code})", *faults]))


@contextmanager
def _servers() -> Iterator[Settings]:
    """Our own is started if it does not run, and stopped if nobody else needs it."""
    if settings().database_url is not None:
        yield settings()
        return
    with embedded.running(settings()) as found:
        yield found


async def _transaction(url: str, work: Work[Answer]) -> Answer:
    await migrations.upgrade(url)
    engine = database.unpooled(url)
    try:
        making = async_sessionmaker(engine, expire_on_commit=False)
        async with database.outages(), making.begin() as session:
            return await work(session)
    finally:
        await engine.dispose()
