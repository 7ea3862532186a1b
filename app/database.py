"""The database: its engine, and which of its failures mean 'come back later'."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from app.errors import DatabaseDown

CONNECT_TIMEOUT = 5.0  # seconds, also the longest wait for a free connection
COMMAND_TIMEOUT = 60.0  # seconds: a server that hangs is a server that is down
SERVER_SETTINGS = {"application_name": "vocality", "lock_timeout": "10s", "timezone": "UTC"}

# Classes of SQLSTATE that pass by themselves: connection, rollback (deadlock), resources,
# intervention (shutdown, timeout), lock not available.
_PASSING = ("08", "40", "53", "57", "55P03")


def engine(url: str, *, pool_size: int = 10, pool_timeout: float = CONNECT_TIMEOUT) -> AsyncEngine:
    """Connections to `postgresql://...`, checked before use so that a restart heals by itself."""
    made = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=_connecting(url),
        hide_parameters=True,  # of a statement that fails, in its error: they are somebody's
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=pool_timeout,
    )
    event.listen(made.sync_engine, "checkout", _check)
    return made


def _check(connection: Any, _record: object, _proxy: object) -> None:  # noqa: ANN401
    """The socket knows that its server has gone; a ping asks it three times, every time."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError("The server has closed this connection.")


def unpooled(url: str) -> AsyncEngine:
    """A connection for each transaction: for a process with more event loops than one."""
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=_connecting(url),
        poolclass=NullPool,
        hide_parameters=True,
    )


def _connecting(url: str) -> Callable[[], Awaitable[Any]]:
    async def connect() -> Any:  # noqa: ANN401
        try:
            return await asyncpg.connect(
                _dsn(url),
                timeout=CONNECT_TIMEOUT,
                command_timeout=COMMAND_TIMEOUT,
                server_settings=SERVER_SETTINGS,
            )
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise DatabaseDown("The database cannot be reached.") from error

    return connect


def _dsn(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@asynccontextmanager
async def outages() -> AsyncIterator[None]:
    """Turn the failures that pass by themselves into DatabaseDown; bugs stay what they are."""
    try:
        yield
    except PoolTimeout as error:
        raise DatabaseDown("Every database connection is in use.") from error
    except (TimeoutError, ConnectionError) as error:
        raise DatabaseDown("The database does not answer.") from error
    except DBAPIError as error:
        if not _passes(error):
            raise
        raise DatabaseDown("The database went away.") from error


def _passes(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or not state or state.startswith(_PASSING)
