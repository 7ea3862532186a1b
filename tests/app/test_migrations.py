"""Migrations: up and down, also over tables that hold rows."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, MetaData, insert, make_url, select, text
from sqlalchemy import Table as Reflected

from app import database, migrations
from app.settings import Settings
from app.tables import Table

Rows = dict[str, list[dict[str, Any]]]  # by table
VALUES: dict[type, Callable[[str], object]] = {
    str: lambda revision: f"of {revision}",
    bool: lambda _: True,
    int: lambda _: 7,
    float: lambda _: 1.5,
    object: lambda revision: {"of": revision},  # JSON
    datetime: lambda _: datetime(2026, 11, 23, tzinfo=UTC),
}


async def test_two_migrations_at_once_are_one(servers: Settings) -> None:
    url = await _empty_database(servers)

    await asyncio.gather(migrations.upgrade(url), migrations.upgrade(url))

    engine = database.engine(url)
    async with engine.begin() as connection:
        assert await connection.run_sync(_differences) == []
        await connection.run_sync(_to, "base")
        await connection.run_sync(_to, "head")
        assert await connection.run_sync(_differences) == []
    await engine.dispose()


async def test_rows_of_every_revision_go_up_and_down_and_up_again(servers: Settings) -> None:
    engine = database.engine(await _empty_database(servers))

    async with engine.begin() as connection:
        await connection.run_sync(_through_all)

    await engine.dispose()


def _through_all(connection: Connection) -> None:
    revisions = _revisions()
    for revision in revisions:
        _step(connection, revision)
        _fill(connection, revision)
    assert set(_rows(connection)) == set(Table.metadata.tables)
    for revision in [*revisions[-2::-1], *revisions[1:]]:
        _step(connection, revision)


def _revisions() -> list[str]:
    """From the first to the last."""
    script = ScriptDirectory.from_config(migrations.config())
    return [one.revision for one in script.walk_revisions()][::-1]


def _step(connection: Connection, revision: str) -> None:
    """What has a place on both sides is the same on both."""
    before = _rows(connection)
    _to(connection, revision)
    after = _rows(connection)
    assert _shared(before, after) == _shared(after, before), f"to {revision}"


def _to(connection: Connection, revision: str) -> None:
    config = migrations.config()
    config.attributes["connection"] = connection
    now = MigrationContext.configure(connection).get_current_revision() or ""
    down = revision == "base" or (revision != "head" and revision < now)
    (command.downgrade if down else command.upgrade)(config, revision)


def _tables(connection: Connection) -> list[Reflected]:
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


def _fill(connection: Connection, revision: str) -> None:
    """One row more in every table, without a null."""
    for table in _tables(connection):
        values = {
            column.name: _value(connection, column, revision)
            for column in table.columns
            if column.identity is None
        }
        connection.execute(insert(table).values(values))


def _value(connection: Connection, column: Column[Any], revision: str) -> object:
    for key in column.foreign_keys:
        return connection.scalars(select(key.column).order_by(key.column.desc())).first()
    return VALUES[column.type.python_type](revision)


def _rows(connection: Connection) -> Rows:
    return {
        table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
        for table in _tables(connection)
    }


def _shared(rows: Rows, other: Rows) -> dict[str, list[str]]:
    """The rows without what the other side has no place for."""
    found = {}
    for name in rows.keys() & other.keys():
        columns = rows[name][0].keys() & other[name][0].keys() if rows[name] and other[name] else ()
        cut = ({c: row[c] for c in sorted(columns)} for row in rows[name])
        found[name] = sorted(json.dumps(row, default=str) for row in cut)
    return found


async def _empty_database(servers: Settings) -> str:
    assert servers.database_url is not None
    engine = database.engine(servers.database_url)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("DROP DATABASE IF EXISTS fresh"))
        await connection.execute(text("CREATE DATABASE fresh"))
    await engine.dispose()
    return make_url(servers.database_url).set(database="fresh").render_as_string(False)


def _differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, Table.metadata))
