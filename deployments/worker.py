"""The Worker: takes queued analyses from the database and asks the conductor."""

import asyncio

from app.analyses.work import work_forever
from ray.serve.handle import DeploymentHandle

from app.services import open_services
from app.settings import settings
from deployments.conductor import Conductor
from deployments.remote import RemoteAnalyzer


class Worker:
    """One loop for as long as the replica lives. The database row is the queue."""

    def __init__(self, conductor: DeploymentHandle[Conductor]) -> None:
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop().create_task(self._work(conductor))

    async def _work(self, conductor: DeploymentHandle[Conductor]) -> None:
        async with open_services(settings(), RemoteAnalyzer(conductor)) as services:
            await work_forever(services, settings().worker_concurrency, self._stop)

    def check_health(self) -> None:
        if self._loop.done():
            raise RuntimeError("the work loop has ended")

    async def __del__(self) -> None:
        """Serve calls this before it ends a replica: let the jobs in hand finish."""
        self._stop.set()
        await self._loop
