"""Real servers for the tests: one PostgreSQL and one Redis for the session, clean for each test."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import httpx2
import pytest
from sqlalchemy import text

from app import embedded, migrations, services
from app.services import Services
from app.settings import Settings
from app.tables import Table
from app.telemetry import configure_logging
from cli.tracking import server
from models.decode import DecodeLimits, Decoder
from tests.fakes import FakeAnalyzer, named_by_header


@pytest.fixture(scope="session")
def servers() -> Iterator[Settings]:
    """Settings that name a real PostgreSQL, with all tables, and a real Redis."""
    configure_logging(as_json=False)
    home = servers_home()
    complete = embedded.complete(Settings(home=home))
    assert complete.database_url is not None
    asyncio.run(hurry(complete.database_url))
    asyncio.run(migrations.upgrade(complete.database_url))
    yield complete
    embedded.stop(home)
    shutil.rmtree(home)


def servers_home() -> Path:
    """Not pytest's folder, which every session of the user closes to all others when it starts:
    under root PostgreSQL is such an other."""
    return Path(tempfile.mkdtemp(prefix="vocality-tests-"))


@pytest.fixture(scope="session")
def tracking(servers: Settings) -> Iterator[str]:
    """The address of a real MLflow server on that PostgreSQL, one for all tests of a session.

    It is empty only for who comes first: tests look at what they put in.
    """
    with server(str(servers.mlflow_tracking_uri), servers.home) as address:
        deadline = time.monotonic() + 120
        while True:
            try:
                if httpx2.get(f"{address}/health", timeout=2).status_code == 200:
                    break
            except httpx2.HTTPError:
                assert time.monotonic() < deadline, (servers.home / "mlflow" / "log").read_text()
            time.sleep(0.1)
        yield address


@pytest.fixture
def registry_server(tracking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same as the registry of this process, whose cache is empty."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tracking


@pytest.fixture(scope="session")
def decoder() -> Iterator[Decoder]:
    made = Decoder(DecodeLimits(max_seconds=60.0))
    yield made
    made.close()


@pytest.fixture
def settings(servers: Settings, tmp_path: Path) -> Settings:
    """Small limits, so that tests meet them soon."""
    return servers.model_copy(
        update={
            "home": tmp_path,
            "object_store_url": None,
            "max_upload_bytes": 2 * 1024 * 1024,
            "max_one_shot_bytes": 1024 * 1024,
            "body_timeout_s": 0.5,
            "lease_s": 1.0,
            "account_cache_s": 0.05,
            "password_memory_kib": 8192,
            "rate_limits": False,  # but in the tests about them
        }
    )


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As a job's driver is started: no waiting for others."""
    import torch  # only for those who learn

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def analyzer() -> FakeAnalyzer:
    return FakeAnalyzer()


@pytest.fixture
async def platform(
    settings: Settings, analyzer: FakeAnalyzer, decoder: Decoder
) -> AsyncIterator[Services]:
    """Services over empty tables and an empty Redis."""
    made = services.build(settings, analyzer, decoder, named_by_header)
    await clean(made)
    async with made.news.listening():
        yield made
    await made.close()


async def hurry(database_url: str) -> None:
    """No waiting for the disk: tests end processes, not machines."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("ALTER SYSTEM SET fsync = off")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


async def clean(made: Services) -> None:
    names = ", ".join(table.name for table in Table.metadata.sorted_tables)
    async with made.transaction() as session:
        await session.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    await made.redis.flushall()
