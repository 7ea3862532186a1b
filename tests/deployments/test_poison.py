"""A take that kills whatever replica it meets, among takes that have done nothing."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress

import pytest
from ray import serve
from sqlalchemy import select

from app import ids, services
from app.analyses.work import work_forever
from app.rollouts.routing import Route
from app.services import Services
from app.settings import Settings
from app.tables import AnalysisRow, Recording
from deployments.conductor import Conductor
from deployments.host import AnalyzerHost, HostSpec
from deployments.placement import Placement, deploy
from deployments.remote import RemoteAnalyzer
from models.decode import Decoder
from models.engine import Task
from models.results import Family, FamilyResult, Pitch, Version
from tests.conftest import clean
from tests.signals import silence, wav
from tests.small_ray import small_ray

POISON_S = 13.0  # the length of the take that kills
INNOCENT = 6
PATIENCE_S = 240


class Brittle:
    """A pitch engine whose process ends at one certain take."""

    family: Family = "pitch"
    version = Version(name="brittle", version="1", sha256="0")

    def analyze_batch(self, tasks: Sequence[Task]) -> list[FamilyResult]:
        if any(abs(task.audio.seconds - POISON_S) < 0.01 for task in tasks):
            os._exit(1)
        return [Pitch() for _ in tasks]


class BrittleHost(AnalyzerHost):
    def __init__(self) -> None:
        super().__init__(HostSpec(versions={}))
        self.engines = {"pitch": Brittle()}


@pytest.fixture
def conductor(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[serve.handle.DeploymentHandle[Conductor]]:
    monkeypatch.setenv("VOCALITY_HOME", str(settings.home))
    host = deploy(BrittleHost, Placement(), name="AnalyzerHost", health_check_period_s=1)
    routes = {"pitch": Route(champion="1", hosts={"1": "brittle"})}
    with small_ray():
        serve.run(host.bind(), name="brittle", route_prefix=None)
        yield serve.run(deploy(Conductor, Placement()).bind(routes), name="c", route_prefix=None)


@pytest.fixture
async def platform(
    settings: Settings, decoder: Decoder, conductor: serve.handle.DeploymentHandle[Conductor]
) -> AsyncIterator[Services]:
    made = services.build(settings, RemoteAnalyzer(conductor), decoder)
    await clean(made)
    async with made.news.listening():
        yield made
    await made.close()


async def queue_takes(platform: Services, lengths: Sequence[float]) -> list[str]:
    names = []
    for seconds in lengths:
        take, name = ids.new("rec"), ids.new("ana")

        async def body(encoded: bytes = wav(silence(seconds))) -> AsyncIterator[bytes]:
            yield encoded

        await platform.storage.put(take, body())
        async with platform.transaction() as session:
            session.add(
                Recording(
                    id=take, owner_id="usr_ada", name="a", key=take, sha256="", size_bytes=1,
                    duration_s=seconds, channels=1,
                )
            )  # fmt: skip
            await session.flush()
            session.add(
                AnalysisRow(
                    id=name, recording_id=take, owner_id="usr_ada", families=["pitch"], options={}
                )
            )
        names.append(name)
    return names


async def ended(platform: Services, names: list[str]) -> dict[str, AnalysisRow]:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with platform.transaction() as session:
                rows = (await session.scalars(select(AnalysisRow))).all()
            found = {row.id: row for row in rows if row.id in names}
            if all(row.state in ("done", "failed") for row in found.values()):
                return found
            await asyncio.sleep(0.5)


@pytest.mark.system
async def test_the_guilty_take_is_given_up_and_the_others_are_done(platform: Services) -> None:
    lengths = [1.0] * (INNOCENT // 2) + [POISON_S] + [1.0] * (INNOCENT - INNOCENT // 2)
    names = await queue_takes(platform, lengths)
    stop = asyncio.Event()
    working = asyncio.create_task(work_forever(platform, 4, stop))

    rows = await ended(platform, names)

    states = [rows[name].state for name in names]
    assert states == ["done" if seconds != POISON_S else "failed" for seconds in lengths]
    failure = rows[names[INNOCENT // 2]].failure
    assert failure is not None
    assert failure["code"] == "gave_up"
    stop.set()
    with suppress(asyncio.CancelledError):
        await working
