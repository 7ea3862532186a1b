"""The Worker: takes queued analyses from the database and asks the conductor."""

import asyncio

from ray.serve.handle import DeploymentHandle

from app.analyses.work import work_forever
from app.services import open_services
from app.settings import settings
from deployments.conductor import Conductor
from deployments.remote import RemoteAnalyzer


class Worker:
    """One loop for as long as the replica lives. The database row is the queue."""

    async def __init__(self, conductor: DeploymentHandle[Conductor]) -> None:  # type: ignore[misc]
        self._stop = asyncio.Event()
        self._work = asyncio.create_task(self._work_forever(RemoteAnalyzer(conductor)))

    async def _work_forever(self, analyzer: RemoteAnalyzer) -> None:
        async with open_services(settings(), analyzer) as services:
            await work_forever(services, settings().worker_concurrency, self._stop)

    async def check_health(self) -> None:
        if self._work.done():
            cause = None if self._work.cancelled() else self._work.exception()
            raise RuntimeError(f"the work loop has ended: {cause!r}") from cause

    async def __del__(self) -> None:
        """Serve calls this before it ends a replica: the jobs in hand may finish."""
        self._stop.set()
        await self._work
