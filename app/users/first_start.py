"""The first start: an administrator for a platform that has nobody yet, and their key in a file."""

import os
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, database
from app.security import LOCAL_USER, Role
from app.settings import Settings
from app.tables import Account
from app.users.keys import service as api_keys

EMAIL = "admin@localhost"
LOCK = 0x6669727374  # any number, as long as it is ours: 'first'


async def prepare(settings: Settings) -> None:
    """Safe to repeat, and when two start at once: the second finds that all is done."""
    engine = database.engine(str(settings.database_url), pool_size=1)
    try:
        async with database.outages(), AsyncSession(engine) as session, session.begin():
            await session.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": LOCK})
            if await session.scalar(select(func.count()).select_from(Account)) == 0:
                await _welcome(session, settings.admin_key)
    finally:
        await engine.dispose()


async def _welcome(session: AsyncSession, key_file: Path) -> None:
    """The key is on disk before it is good: a crash between leaves a key that opens nothing."""
    session.add(
        Account(
            id=LOCAL_USER,
            email=EMAIL,
            email_key=EMAIL,
            verified_at=func.now(),
            roles=[Role.admin],
        )
    )
    await session.flush()
    made = api_keys.add(session, LOCAL_USER, name="first start")
    audit.record(session, LOCAL_USER, "user.first_start", f"users:{LOCAL_USER}", {})
    _write(key_file, made.text)


def _write(path: Path, key: str) -> None:
    """Whole or not at all, and readable by its owner only from the first byte."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(key + "\n")
    fresh.replace(path)
