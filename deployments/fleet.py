"""The fleet: the Serve applications of single versions, made from the profile's own hosts."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import cast

from ray import serve
from ray.serve.schema import ApplicationStatus
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app.tables import ModelVersion
from deployments import host
from deployments.faults import Fault
from deployments.host import HostSpec
from deployments.reconciler import Status
from models.results import Family

STATUSES: Mapping[ApplicationStatus, Status] = {
    ApplicationStatus.NOT_STARTED: "starting",
    ApplicationStatus.DEPLOYING: "starting",
    ApplicationStatus.RUNNING: "running",
    ApplicationStatus.UNHEALTHY: "running",  # Serve heals it; guardrails judge it meanwhile
    ApplicationStatus.DEPLOY_FAILED: "failed",
    ApplicationStatus.DELETING: "ending",
}
MOST_OF_A_REASON = 500  # characters, the last: that is where a trace says what happened


class ServeFleet:
    def __init__(
        self,
        templates: Mapping[Family, HostSpec],
        sessions: async_sessionmaker[AsyncSession],
        *,
        drills: bool,
    ) -> None:
        self._templates, self._sessions, self._drills = templates, sessions, drills
        self._reasons: dict[str, str] = {}

    async def statuses(self) -> Mapping[str, Status]:
        found = (await asyncio.to_thread(serve.status)).applications
        self._reasons = {
            name: application.message.strip()[-MOST_OF_A_REASON:]
            for name, application in found.items()
            if STATUSES[application.status] == "failed"
        }
        return {name: STATUSES[application.status] for name, application in found.items()}

    def why(self, name: str) -> str:
        return self._reasons.get(name, "")

    async def create(self, family: Family, version: str, name: str, *, trusted: bool) -> None:
        async with self._sessions() as session:
            kept = await session.get(ModelVersion, (family, version))
        spec = spec_of(self._templates[family], family, version, kept, trusted, self._drills)
        target = serve.RunTarget(host.build(spec), name, None)
        await asyncio.to_thread(serve.run_many, [target], wait_for_applications_running=False)

    async def delete(self, name: str) -> None:
        await asyncio.to_thread(serve.delete, name, _blocking=False)


def spec_of(
    template: HostSpec,
    family: Family,
    version: str,
    kept: ModelVersion | None,
    trusted: bool,
    drills: bool,
) -> HostSpec:
    """A host of one version of one family, placed like the host of its siblings."""
    fault = kept.tags.get("drill.fault") if kept and drills else None
    return template.model_copy(
        update={
            "versions": {family: version},
            "digests": {family: kept.sha256} if kept else {},
            "strict": not trusted,
            "fault": cast(Fault | None, fault),
        }
    )


def templates(hosts: Iterable[HostSpec]) -> dict[Family, HostSpec]:
    """Each family's host, as the profile has it."""
    return {family: spec for spec in hosts for family in spec.versions}
