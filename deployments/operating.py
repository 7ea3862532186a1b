"""The Operator: what runs once in a platform: rollouts, their guardrails, the registry, jobs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Container
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import tasks
from app.errors import AppError, DatabaseDown
from app.rollouts import guardrails, keeping, service
from app.rollouts.guardrails import Limits
from app.services import Services
from app.tables import Rollout
from deployments import burying, registering
from deployments.reconciler import Create, Delete, Fleet, Plan, Reroute, Step, Wish
from models.registry import Aliases, RegistryUnavailable
from models.results import Family

LOCK = 0x766F6361 << 8 | 1  # any number, as long as it is ours and not the migrations'
RECONCILE_S, GUARD_S, REGISTRY_S, REGISTRY_AWAY_S, TIDY_S = 0.5, 1.0, 2.0, 5.0, 60.0
GUARDRAIL = "guardrail"  # who acts when nobody did

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Operator:
    services: Services
    fleet: Fleet
    plan: Plan
    families: Container[Family]  # that are served here

    async def forever(self) -> None:
        loops = (
            _every(RECONCILE_S, self.reconcile),
            _every(GUARD_S, self.guard),
            _every(REGISTRY_S, self.sync),
            _every(TIDY_S, self.tidy),
        )
        running = [asyncio.create_task(loop) for loop in loops]
        try:
            await asyncio.gather(*running)
        finally:
            await tasks.end(*running)

    async def reconcile(self) -> bool:
        """One step for every family that is not as it is wished. Whether there was one."""
        async with self.services.transaction() as session:
            if not await _alone(session):
                return False
            wishes = [w for w in await _wishes(session) if w.family in self.families]
            live = await self.fleet.statuses()
            reasons = {name: self.fleet.why(name) for name, how in live.items() if how == "failed"}
            stepped = False
            for wish in wishes:
                for step in self.plan.steps(wish, live, reasons):
                    log.warning("rollout of %s: %s", wish.family, step)
                    await self._take(wish, step)
                    stepped = True
        return stepped

    async def _take(self, wish: Wish, step: Step) -> None:
        if isinstance(step, Create):
            await self.fleet.create(wish.family, step.version, step.name, trusted=step.trusted)
        elif isinstance(step, Delete):
            await self.fleet.delete(step.name)
        elif isinstance(step, Reroute):
            async with self._unchanged(wish.family, wish.generation) as (session, row):
                if row is not None:
                    await service.reroute(session, row, step.route)
        else:
            async with self._unchanged(wish.family, wish.generation) as (session, row):
                if row is not None:
                    await service.give_up(session, wish.family, step.version, step.reason)
            await self.fleet.delete(step.name)

    async def guard(self) -> None:
        """Take back what breaks its limits."""
        for row, age_s in await self._trials():
            family = cast(Family, row.family)
            if not (reason := await self._why_not(row, age_s)):
                continue
            async with self._unchanged(family, row.generation) as (session, same):
                if same is not None:
                    await service.roll_back(session, GUARDRAIL, family, reason)

    async def _trials(self) -> list[tuple[Rollout, float]]:
        """Rollouts with a version on trial, and for how many seconds it has been."""
        age = func.extract("epoch", func.clock_timestamp() - Rollout.started_at)
        query = select(Rollout, age).where(
            or_(Rollout.challenger.is_not(None), Rollout.shadow.is_not(None))
        )
        async with self.services.transaction() as session:
            return [(row, float(seconds or 0)) for row, seconds in await session.execute(query)]

    async def _why_not(self, row: Rollout, age_s: float) -> str | None:
        limits, family = Limits.model_validate(row.limits), cast(Family, row.family)
        seconds = min(limits.window_s, age_s)
        async with self.services.transaction() as session:
            trial, champion = [
                await service.window(session, family, version, seconds)
                for version in (row.challenger or row.shadow or "", row.champion)
            ]
        return guardrails.judge(limits, trial, champion)

    @asynccontextmanager
    async def _unchanged(
        self, family: Family, generation: int
    ) -> AsyncIterator[tuple[AsyncSession, Rollout | None]]:
        """The rollout, held; None where somebody has changed it since it was looked at."""
        async with self.services.transaction() as session:
            row = await service.get(session, family, for_update=True)
            yield session, row if row.generation == generation else None

    async def sync(self) -> None:
        """Registry and database: what either has and the other has not."""
        try:
            await registering.push_versions(self.services.sessions)
            await registering.pull_versions(self.services.sessions)
            async with self.services.transaction() as session:
                rows = await service.every(session)
            there = await registering.read_aliases()
            for row in rows:
                await self._agree(row, there.get(row.family))
            await burying.bury_all(self.services.sessions, self.services.settings)
        except RegistryUnavailable:
            await asyncio.sleep(REGISTRY_AWAY_S)

    async def tidy(self) -> None:
        async with self.services.transaction() as session:
            await keeping.tidy(session)

    async def _agree(self, row: Rollout, there: Aliases | None) -> None:
        """The newer of wish and aliases wins."""
        family = cast(Family, row.family)
        if row.pushed < row.generation:
            await registering.push_wish(row)
            async with self._unchanged(family, row.generation) as (_, same):
                if same is not None:
                    same.pushed = row.generation
            return
        here = (row.champion, row.challenger, row.percent, row.shadow, row.previous)
        if there is None or there.as_tuple() == here:
            return
        async with self._unchanged(family, row.generation) as (session, same):
            if same is not None:
                most = self.services.settings.rollout_memory_bytes
                await service.adopt(session, family, *there.as_tuple(), most_bytes=most)


async def _alone(session: AsyncSession) -> bool:
    """Whether no other operator is at it, until this transaction ends."""
    return bool(await session.scalar(select(func.pg_try_advisory_xact_lock(LOCK))))


async def _wishes(session: AsyncSession) -> list[Wish]:
    age = func.extract("epoch", func.clock_timestamp() - Rollout.updated_at)
    rows = await session.execute(select(Rollout, age).order_by(Rollout.family))
    return [Wish.of(row, float(settled)) for row, settled in rows]


async def _every(seconds: float, work: Callable[[], Awaitable[object]]) -> None:
    """Again and again, whatever happens: nobody else does it."""
    while True:
        try:
            await work()
        except (DatabaseDown, AppError):
            log.info("operator: put off", exc_info=True)
        except Exception:
            log.exception("operator: it goes on with the next round")
        await asyncio.sleep(seconds)
