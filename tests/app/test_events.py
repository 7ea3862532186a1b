"""Somebody watches an analysis: every event once, in order, with or without Redis."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI

from app import events
from app.services import Services
from tests.app.test_flow import queued, uploaded, work

Client = httpx2.AsyncClient


def types_in(text: str) -> list[str]:
    return [line[7:] for line in text.splitlines() if line.startswith("event: ")]


def ids_in(text: str) -> list[int]:
    return [int(line[4:]) for line in text.splitlines() if line.startswith("id: ")]


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The app behind a real socket: a stream can only be watched live through one."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve([listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await task
    listener.close()


async def published(platform: Services) -> list[str]:
    """Types of the events that consumers of the Redis stream find."""
    found: Any = await platform.redis.xrange(events.STREAM)
    return [sent["type"] for _, sent in found]


async def test_the_stream_tells_all_and_ends(ada: Client, platform: Services) -> None:
    analysis = await queued(ada, await uploaded(ada))
    await work(platform)

    response = await ada.get(f"/v1/analyses/{analysis}/events")

    assert response.headers["content-type"].startswith("text/event-stream")
    assert types_in(response.text) == ["queued", "running", *["progress"] * 8, "done"]
    assert ids_in(response.text) == sorted(ids_in(response.text))


async def test_a_reconnect_goes_on_where_it_broke_off(ada: Client, platform: Services) -> None:
    analysis = await queued(ada, await uploaded(ada))
    await work(platform)
    path = f"/v1/analyses/{analysis}/events"
    everything = ids_in((await ada.get(path)).text)

    rest = await ada.get(path, headers={"Last-Event-ID": str(everything[3])})

    assert ids_in(rest.text) == everything[4:]


async def test_an_event_of_another_analysis_is_not_known_here(
    ada: Client, platform: Services
) -> None:
    take = await uploaded(ada)
    first, second = await queued(ada, take), await queued(ada, take)
    await work(platform)
    foreign = ids_in((await ada.get(f"/v1/analyses/{first}/events")).text)[-1]

    response = await ada.get(
        f"/v1/analyses/{second}/events", headers={"Last-Event-ID": str(foreign)}
    )

    assert types_in(response.text)[:2] == ["reset", "queued"]


async def test_events_arrive_while_they_happen(
    ada: Client, door: FastAPI, platform: Services
) -> None:
    analysis = await queued(ada, await uploaded(ada))
    async with (
        served(door) as url,
        Client(base_url=url, headers={"X-User": "usr_ada"}) as client,
        client.stream("GET", f"/v1/analyses/{analysis}/events") as response,
    ):
        lines = response.aiter_lines()
        assert await anext(lines) == "event: queued"
        await work(platform)
        async with asyncio.timeout(5):
            rest = [line async for line in lines]

    assert types_in("\n".join(rest))[-1] == "done"


async def test_watchers_are_woken_by_the_table_when_redis_is_silent(
    ada: Client, platform: Services
) -> None:
    """News from a process whose Redis is gone: nothing is published, and everything arrives."""
    analysis = await queued(ada, await uploaded(ada))

    with platform.news.watch(analysis) as bell:
        async with platform.sessions.begin() as session:  # a transaction that announces nothing
            events.append(session, analysis, "progress", {})
        async with asyncio.timeout(3):
            await bell.wait()


async def test_a_thousand_idle_watchers_cost_one_query_a_second(platform: Services) -> None:
    async with asyncio.timeout(10):
        watches = [platform.news.watch(f"ana_{n}") for n in range(1000)]
        bells = [watch.__enter__() for watch in watches]
        async with platform.transaction() as session:
            events.append(session, "ana_500", "progress", {})
        await bells[500].wait()
        await asyncio.sleep(1.2)
        rung = sum(bell.is_set() for bell in bells)
        for watch in watches:
            watch.__exit__(None, None, None)

    assert rung == 1
    assert platform.engine.pool.checkedout() <= 1  # type: ignore[attr-defined]


async def test_the_outbox_reaches_the_stream_once_redis_is_back(
    ada: Client, platform: Services
) -> None:
    await queued(ada, await uploaded(ada))
    await platform.redis.flushall()

    assert await events.relay(platform.redis, platform.sessions) == 1
    assert await events.relay(platform.redis, platform.sessions) == 0

    assert await published(platform) == ["queued"]
