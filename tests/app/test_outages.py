"""Servers die and come back: what was accepted survives, and what cannot be done says so."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import httpx2
import psutil
import pytest
import redis

from app import embedded, migrations, services
from app.analyses.work import work_forever
from app.analyzer import Inspection, Inspector
from app.main import create_app
from app.services import Services
from app.settings import Settings
from models.decode import Decoder
from tests.app.conftest import client_of
from tests.app.test_events import published, types_in
from tests.app.test_flow import TAKE, queued, uploaded, work
from tests.app.test_problems import check_problem
from tests.conftest import clean, hurry, servers_home
from tests.fakes import FakeAnalyzer, named_by_header, waiting

Client = httpx2.AsyncClient


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """Servers of our own, to be killed; so deep that a socket's name would not fit."""
    made = (root := servers_home()) / ("a long name " * 8)
    made.mkdir()
    asyncio.run(hurry(str(start(made).database_url)))
    yield made
    embedded.stop(made)
    shutil.rmtree(root)


def start(home: Path) -> Settings:
    return embedded.complete(Settings(home=home, lease_s=0.6))


def kill(home: Path, name: str) -> None:
    pid = embedded.pids(home)[name]
    assert pid is not None
    family = [psutil.Process(pid), *psutil.Process(pid).children()]
    os.kill(pid, signal.SIGKILL)
    while any(alive(process) for process in family):  # PostgreSQL's backends notice a little later
        time.sleep(0.01)


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
async def fragile(home: Path, decoder: Decoder) -> AsyncIterator[Services]:
    settings = start(home)
    assert settings.database_url is not None
    await migrations.upgrade(settings.database_url)
    made = services.build(settings, FakeAnalyzer(), decoder, named_by_header)
    await clean(made)
    async with made.news.listening():
        yield made
    await made.close()


@pytest.fixture
async def singer(fragile: Services) -> AsyncIterator[Client]:
    async with client_of(create_app(fragile), "usr_ada") as client:
        yield client


async def remember(settings: Settings, word: str) -> None:
    connection = await asyncpg.connect(settings.database_url)
    await connection.execute("CREATE TABLE IF NOT EXISTS words (word text)")
    await connection.execute("INSERT INTO words VALUES ($1)", word)
    await connection.close()
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        client.set(word, "1")
        time.sleep(1.1)  # the append-only file is written through every second


async def remembered(settings: Settings) -> tuple[list[str], list[bytes]]:
    connection = await asyncpg.connect(settings.database_url)
    words = [row["word"] for row in await connection.fetch("SELECT word FROM words")]
    await connection.close()
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        return words, [key for key in client.keys("word*") if isinstance(key, bytes)]


async def test_data_survive_kill_9_of_both_servers(home: Path) -> None:
    await remember(start(home), "word1")
    kill(home, "postgres")
    kill(home, "redis")

    again = start(home)

    assert await remembered(again) == (["word1"], [b"word1"])


async def test_two_starts_attach_to_the_same_servers(home: Path) -> None:
    first, second = await asyncio.gather(
        asyncio.to_thread(start, home), asyncio.to_thread(start, home)
    )

    assert first == second
    assert first.mlflow_tracking_uri != first.database_url


async def test_the_last_one_to_leave_stops_the_servers(home: Path) -> None:
    with embedded.running(Settings(home=home)) as first:
        with embedded.running(Settings(home=home)) as second:
            assert first == second
        assert None not in embedded.pids(home).values()
    assert embedded.pids(home) == {"postgres": None, "redis": None}


async def test_a_reused_process_number_is_not_taken_for_the_server(home: Path) -> None:
    start(home)
    embedded.stop(home)
    assert embedded.pids(home) == {"postgres": None, "redis": None}
    pid_file = home / "postgres" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{home}\n1\n5432\n{home}\n\n1 1\nready\n")

    start(home)

    assert embedded.pids(home)["postgres"] not in (None, os.getpid())


async def test_given_addresses_are_kept(tmp_path: Path) -> None:
    given = Settings(
        home=tmp_path,
        database_url="postgresql://db/x",
        redis_url="redis://r",
        mlflow_tracking_uri="http://m",
    )

    assert embedded.complete(given) == given
    assert list(tmp_path.iterdir()) == []


async def test_without_the_database_everything_says_come_back_and_then_recovers(
    home: Path, fragile: Services, singer: Client
) -> None:
    take = await uploaded(singer)
    kill(home, "postgres")

    for response in (
        await singer.get("/v1/recordings"),
        await singer.get(f"/v1/recordings/{take}"),
        await singer.post(f"/v1/recordings/{take}/analyses"),
        await singer.post("/v1/recordings", files={"file": ("a.wav", await _sound(fragile, take))}),
    ):
        assert check_problem(response, 503)["code"] == "database_unavailable"
    ready = await singer.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
    assert (await singer.get("/healthz")).status_code == 200
    assert (await singer.get("/metrics")).status_code == 200
    objects = [p for p in (home / "objects").rglob("master") if take not in str(p)]
    assert objects == []  # the upload that could not be remembered left nothing behind

    await asyncio.to_thread(start, home)

    await queued(singer, take)
    assert (await singer.get("/readyz")).status_code == 200


@dataclass
class Unlucky:
    """An Inspector during whose first look the database dies."""

    inspector: Inspector
    home: Path
    met: bool = False

    async def inspect(self, source: Path) -> Inspection:
        if not self.met:
            self.met = True
            kill(self.home, "postgres")
        return await self.inspector.inspect(source)


async def test_a_request_that_met_an_outage_may_be_repeated_with_its_key(
    home: Path, fragile: Services
) -> None:
    unlucky = replace(fragile, inspector=Unlucky(fragile.inspector, home))

    async def upload(singer: Client) -> httpx2.Response:
        files, headers = {"file": ("a.wav", TAKE)}, {"Idempotency-Key": "one"}
        return await singer.post("/v1/recordings", files=files, headers=headers)

    async with client_of(create_app(unlucky), "usr_ada") as singer:
        check_problem(await upload(singer), 503)
        await asyncio.to_thread(start, home)
        async with asyncio.timeout(10):
            while (again := await upload(singer)).status_code != 201:
                assert check_problem(again)["code"] == "idempotency_running"
                await asyncio.sleep(0.1)

        assert len((await singer.get("/v1/recordings")).json()["items"]) == 1


async def _sound(fragile: Services, take: str) -> bytes:
    key = f"recordings/{take}/master"
    return b"".join([chunk async for chunk in fragile.storage.stream(key)])


async def test_an_answer_waits_for_the_database_and_watchers_live_through_it(
    home: Path, fragile: Services, singer: Client
) -> None:
    analysis = await queued(singer, await uploaded(singer))
    assert isinstance(fragile.analyzer, FakeAnalyzer)
    fragile.analyzer.before = waiting(1.0)
    watching = asyncio.create_task(singer.get(f"/v1/analyses/{analysis}/events"))
    working = asyncio.create_task(work(fragile))
    async with asyncio.timeout(10):
        while not (fragile.analyzer.takes and fragile.news._watchers):
            await asyncio.sleep(0.02)

    kill(home, "postgres")
    await asyncio.sleep(1.5)  # the models answer in the meantime
    await asyncio.to_thread(start, home)

    async with asyncio.timeout(15):
        await working
        stream = await watching
    assert types_in(stream.text)[-1] == "done"
    assert (await singer.get(f"/v1/analyses/{analysis}")).json()["state"] == "done"


GUESS = {"email": "ada@example.org", "password": "correct horse battery"}


async def test_without_redis_all_but_signing_in_works_and_the_outbox_is_delivered_later(
    home: Path, fragile: Services, singer: Client
) -> None:
    stop = asyncio.Event()
    worker = asyncio.create_task(work_forever(fragile, 2, stop))
    await asyncio.sleep(0.2)
    kill(home, "redis")

    analysis = await queued(singer, await uploaded(singer))
    async with asyncio.timeout(10):
        stream = await singer.get(f"/v1/analyses/{analysis}/events")

    assert types_in(stream.text)[-1] == "done"
    ready = await singer.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    guessing = await singer.post("/v1/auth/sign-in", json=GUESS)  # nobody counts the guesses
    check_problem(guessing, 503)

    await asyncio.to_thread(start, home)
    async with asyncio.timeout(10):
        while len(sent := await _published(fragile)) < len(types_in(stream.text)):
            await asyncio.sleep(0.1)
        while (await singer.post("/v1/auth/sign-in", json=GUESS)).status_code != 401:
            await asyncio.sleep(0.1)
    stop.set()
    await worker
    assert sent == types_in(stream.text)


async def _published(fragile: Services) -> list[str]:
    try:
        return await published(fragile)
    except redis.RedisError:
        return []
