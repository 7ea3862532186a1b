"""Reanalysis: many recordings measured again, each once for every family and version."""

import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

from ray import serve
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.jobs import comparing, selecting, storing
from app.jobs.schemas import Reanalysing
from app.jobs.selecting import Waiting
from app.jobs.service import report_key
from app.jobs.storing import Measured
from app.rollouts.routing import Route
from app.storage import open_store
from app.tables import Json, Rollout
from deployments import by_data, by_lane
from deployments.hand import Hand
from deployments.remote import RemoteAnalyzer

APPLICATION = "VOCALITY_JOB_APPLICATION"  # the platform's own name in Serve, for its drivers
FEW = 500  # recordings: below it, starting engines costs more than waiting for idle ones
WAVE = 5000  # recordings handed out at once
NEWS_S = 1.0  # between two counts of progress
COUNTING = 20  # times as long as a count takes nothing is counted: of a million rows it takes long


async def run(asked: Json, hand: Hand) -> Json:
    """Measure what is not yet measured, then compare. Raises Stopped and Failed.

    What is written stays, whoever dies: the rows are the checkpoint.
    """
    plan = Reanalysing.model_validate(asked)
    progress = _Progress(plan, hand)
    await progress.show(phase="measuring")
    while left := await _waiting(plan, hand):
        async with aclosing(await _measured(plan, hand, left)) as measuring:
            async for rows in measuring:
                await _store(plan, hand, rows)
                await progress.show_soon()
                hand.check()
    await progress.show(phase="comparing")
    return await _compare(plan, hand)


async def _waiting(plan: Reanalysing, hand: Hand) -> Sequence[Waiting]:
    hand.check()
    async with hand.transaction() as session:
        return await selecting.waiting(session, plan, hand.job_id, WAVE)


async def _measured(
    plan: Reanalysing, hand: Hand, left: Sequence[Waiting]
) -> AsyncGenerator[Sequence[Measured]]:
    """The results of those left, as they come, by whichever way fits."""
    application = os.environ.get(APPLICATION)
    if application and await _through_the_lane(plan, hand, len(left)):
        hand.log(f"{len(left)} recordings, through the models that serve.")
        hand.progress({"by": "lane", "actors": 0})
        conductor = serve.get_deployment_handle("Conductor", application)
        return by_lane.measure(plan, hand, left, RemoteAnalyzer(conductor))
    pool = by_data.room()
    hand.log(f"{len(left)} recordings, on Ray Data: {pool}.")
    hand.progress({"by": "data", "actors": pool.actors})
    return by_data.measure(plan, hand, left, pool)


async def _through_the_lane(plan: Reanalysing, hand: Hand, count: int) -> bool:
    if plan.via != "auto":
        return plan.via == "lane"
    async with hand.transaction() as session:
        if not await _served(session, plan):
            return False
    return count < FEW or not by_data.room().num_gpus


async def _served(session: AsyncSession, plan: Reanalysing) -> bool:
    """Whether every version runs already."""
    rows = await session.execute(select(Rollout.family, Rollout.route))
    hosts = {family: Route.model_validate(route).hosts for family, route in rows}
    return all(pin.version in hosts.get(family, ()) for family, pin in plan.pins.items())


async def _store(plan: Reanalysing, hand: Hand, rows: Sequence[Measured]) -> None:
    async with hand.transaction() as session:
        await hand.secure(session)
        await storing.store(session, plan, hand.job_id, rows)


class _Progress:
    """Counts of the results' table, told about once a second."""

    def __init__(self, plan: Reanalysing, hand: Hand) -> None:
        self._plan = plan
        self._hand = hand
        self._next = 0.0

    async def show_soon(self) -> None:
        if time.monotonic() >= self._next:
            await self.show()

    async def show(self, **more: str) -> None:
        started = time.monotonic()
        async with self._hand.transaction() as session:
            found = await selecting.counts(session, self._plan, self._hand.job_id)
        self._hand.progress({**found.shown(), **more})
        now = time.monotonic()
        self._next = now + max(NEWS_S, COUNTING * (now - started))


async def _compare(plan: Reanalysing, hand: Hand) -> Json:
    """The report goes to the object store; the job keeps its figures."""
    report = await comparing.compare(hand.transaction, plan, hand.job_id)
    key = report_key(hand.job_id)

    async def encoded() -> AsyncIterator[bytes]:
        yield report.model_dump_json().encode()

    await open_store(hand.settings).put(key, encoded())
    hand.log(f"{report.results} results, {report.failed} of them failures.")
    hand.progress({"phase": "done"})
    address = f"/v1/jobs/{hand.job_id}/report"
    counts = {"recordings": report.recordings, "results": report.results, "failed": report.failed}
    return {**counts, "report": address, "report_html": f"{address}.html"}
