"""Migrations: bring a database to the tables of this version."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from app import database

LOCK = 0x766F63616C  # any number, as long as it is ours: 'vocal'


def config() -> Config:
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return made


async def upgrade(database_url: str) -> None:
    """Run what is missing. Safe when two start at once: the second waits and finds all done."""
    engine = database.engine(database_url, pool_size=1)
    try:
        async with database.outages(), engine.begin() as connection:
            await connection.execute(text("SET LOCAL lock_timeout = 0"))
            await connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": LOCK})
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    made = config()
    made.attributes["connection"] = connection
    command.upgrade(made, "head")
