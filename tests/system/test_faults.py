"""What dies in the middle of work, and what must come of it: nothing lost, nothing done twice."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import psutil
import pytest
from sqlalchemy import func, select

from app import database, embedded
from app.settings import Settings
from app.tables import Event, State
from tests.signals import tone, wav
from tests.system.platform import Platform, kill_everything, serving

pytestmark = pytest.mark.system

QUEUED = 200
LIGHT = {"families": ["pitch", "activity"]}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("f") / "var"


def enqueue(client: httpx2.Client, count: int) -> list[str]:
    """Analyses of one recording, each of its own options so that each is work of its own."""
    sent = client.post("/v1/recordings", files={"file": ("take.wav", wav(tone(220.0, 1)))})
    recording = sent.json()["id"]

    def one(i: int) -> str:
        body = LIGHT | {"options": {"a4_hz": 420 + i / 10}}
        reply = client.post(f"/v1/recordings/{recording}/analyses", json=body)
        assert reply.status_code == 202, reply.text
        return str(reply.json()["id"])

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, range(count)))


def states(client: httpx2.Client, ids: list[str]) -> list[str]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda i: str(client.get(f"/v1/analyses/{i}").json()["state"]), ids))


def all_done(client: httpx2.Client, ids: list[str], within_s: float = 240) -> list[str]:
    deadline = time.monotonic() + within_s
    found = states(client, ids)
    while set(found) - {"done", "failed"} and time.monotonic() < deadline:
        time.sleep(1)
        found = states(client, ids)
    return found


async def endings(home: Path, ids: list[str]) -> dict[str, int]:
    """How many terminal events each analysis has."""
    url = embedded.complete(Settings(home=home)).database_url
    engine = database.engine(str(url))
    query = (
        select(Event.topic, func.count())
        .where(Event.topic.in_(ids), Event.type == State.done)
        .group_by(Event.topic)
    )
    async with engine.connect() as connection:
        found = {topic: count for topic, count in await connection.execute(query)}
    await engine.dispose()
    return found


async def test_the_whole_platform_dies_amid_200_analyses_and_every_one_is_done_once(
    home: Path,
) -> None:
    with serving(home) as platform, platform.client() as client:
        ids = await asyncio.to_thread(enqueue, client, QUEUED)
        before = await asyncio.to_thread(states, client, ids)
        kill_everything(platform)
    assert before.count("done") < QUEUED

    with serving(home) as platform, platform.client() as client:
        after = await asyncio.to_thread(all_done, client, ids)
        assert after == ["done"] * QUEUED
        assert await endings(home, ids) == dict.fromkeys(ids, 1)


def replica(platform: Platform, name: str) -> psutil.Process:
    [process] = platform.descendants(f":{name}")
    return process


@pytest.mark.parametrize("victim", ["AnalyzerHost", "Conductor", "Worker"])
def test_a_replica_is_killed_under_load_and_no_accepted_work_fails(home: Path, victim: str) -> None:
    with serving(home) as platform, platform.client() as client:
        ids = enqueue(client, 40)
        body = wav(tone(220.0, 1))
        with ThreadPoolExecutor(4) as pool:
            asked = [
                pool.submit(
                    client.post,
                    "/v1/analyze",
                    files={"file": ("take.wav", body)},
                    data={"families": "pitch"},
                )
                for _ in range(20)
            ]
            time.sleep(0.3)
            replica(platform, victim).kill()
            answers = [future.result().status_code for future in asked]

        assert answers == [200] * 20
        assert all_done(client, ids) == ["done"] * 40


def test_a_request_in_hand_is_answered_before_the_end(home: Path) -> None:
    with serving(home) as platform, platform.client() as client, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(
            client.post,
            "/v1/analyze",
            files={"file": ("take.wav", wav(tone(220.0, 90)))},
            data={"families": "pitch,timbre"},
        )
        time.sleep(1.0)
        platform.process.terminate()

        assert asked.result().status_code == 200
        assert platform.process.wait(60) == 0
