"""The Worker: what a platform does unasked: queued work, letters, upkeep, rollouts as wished."""

import asyncio
from collections.abc import Mapping

from ray.serve.handle import DeploymentHandle

from app import mail, tasks, upkeep
from app.analyses.work import work_forever
from app.jobs.driving import drive_forever
from app.services import Services, open_services
from app.settings import settings
from deployments.conductor import Conductor
from deployments.fleet import ServeFleet
from deployments.host import HostSpec
from deployments.jobs import launch
from deployments.operating import Operator
from deployments.reconciler import Plan
from deployments.remote import RemoteAnalyzer
from models.results import Family


class Worker:
    """Loops for as long as the replica lives; the database rows are the queues and the wish, so a
    worker may die at any moment. Of several one reconciles at a time, and one makes each sweep of
    the upkeep, under locks; all other loops are safe to run in each.
    """

    async def __init__(  # type: ignore[misc]
        self,
        conductor: DeploymentHandle[Conductor],
        templates: Mapping[Family, HostSpec],
        fixed: Mapping[Family, Mapping[str, str]],
    ) -> None:
        self._stop = asyncio.Event()
        self._templates, self._plan = templates, Plan(fixed)
        self._work = asyncio.create_task(self._work_forever(RemoteAnalyzer(conductor)))

    async def _work_forever(self, analyzer: RemoteAnalyzer) -> None:
        async with open_services(settings(), analyzer) as services:
            operating = asyncio.create_task(self._operator(services).forever())
            try:
                await asyncio.gather(
                    work_forever(services, settings().worker_concurrency, self._stop),
                    drive_forever(services, launch(), self._stop),
                    mail.send_forever(services, self._stop),
                    upkeep.forever(services, self._stop),
                )
            finally:
                await tasks.end(operating)

    def _operator(self, services: Services) -> Operator:
        fleet = ServeFleet(self._templates, services.sessions, drills=settings().drills)
        return Operator(services, fleet, self._plan, self._templates.keys())

    async def check_health(self) -> None:
        if self._work.done():
            cause = None if self._work.cancelled() else self._work.exception()
            raise RuntimeError(f"the work loop has ended: {cause!r}") from cause

    async def __del__(self) -> None:
        """Serve calls this before it ends a replica: the jobs in hand may finish."""
        self._stop.set()
        await self._work
