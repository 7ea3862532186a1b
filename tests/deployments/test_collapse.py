"""Many requests at one replica: Ray Serve's defaults collapse here, our placement must not."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from ray import serve

from deployments.batcher import Batcher, Limits
from deployments.placement import Placement, deploy
from models.engine import Task
from models.results import Activity, Family, FamilyResult
from tests.signals import silence
from tests.small_ray import small_ray

IN_FLIGHT = 300
BATCH, BATCH_S = 8, 0.08  # an ideal of 100 takes a second
KEPT = 0.7


class Paced:
    """A host whose device takes a fixed time a batch."""

    def __init__(self) -> None:
        limits = Limits(batch_items=BATCH)
        self._batcher = Batcher(self._run, limits, ThreadPoolExecutor(1))

    def _run(self, family: Family, tasks: list[Task]) -> list[FamilyResult]:
        time.sleep(BATCH_S)
        return [Activity() for _ in tasks]

    async def analyze(self) -> FamilyResult:
        return await self._batcher.submit("activity", Task(silence(0.1)))


@pytest.fixture(scope="module")
def paced() -> Iterator[serve.handle.DeploymentHandle[Paced]]:
    with small_ray():
        yield serve.run(deploy(Paced, Placement()).bind(), name="paced", route_prefix=None)


@pytest.mark.system
async def test_three_hundred_requests_in_flight_keep_most_of_the_ideal_rate(
    paced: serve.handle.DeploymentHandle[Paced],
) -> None:
    requests = [IN_FLIGHT * 3]

    async def client() -> None:
        while requests[0] > 0:
            requests[0] -= 1
            await paced.analyze.remote()

    await paced.analyze.remote()
    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(IN_FLIGHT)))
    rate = IN_FLIGHT * 3 / (time.perf_counter() - started)

    assert rate / (BATCH / BATCH_S) >= KEPT
