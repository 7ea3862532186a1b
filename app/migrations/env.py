"""Alembic's environment: works on the connection it is given, or on DATABASE_URL from a shell."""

import asyncio

from alembic import context
from sqlalchemy import Connection

from app import database
from app.settings import settings
from app.tables import Table


def migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Table.metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


async def migrate_from_shell() -> None:
    if (url := settings().database_url) is None:
        raise SystemExit("Set DATABASE_URL.")
    engine = database.engine(url, pool_size=1)
    async with engine.begin() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


if (given := context.config.attributes.get("connection")) is not None:
    migrate(given)
else:
    asyncio.run(migrate_from_shell())
