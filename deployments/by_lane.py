"""Reanalysis through the models that serve: in their bulk lane, a few takes at a time."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from app.analyzer import (
    AnalysisRequest,
    Analyzer,
    DeadlineExceeded,
    Overloaded,
    ReplicaLost,
    Unavailable,
)
from app.errors import StorageDown
from app.jobs.schemas import Reanalysing
from app.jobs.selecting import Waiting
from app.jobs.storing import Measured, of_failure, of_result
from deployments.hand import Failed, Hand
from models.audio import UnreadableAudio
from models.results import Analysis, Family, Reason

SIDE_BY_SIDE = 1  # takes at once: whoever waits online waits for one at most
PATIENCE_S = 120.0  # for models that are away, restarting perhaps
RETRY_S = 1.0
TRIES = 3  # of a take in whose company a replica ended


async def measure(
    plan: Reanalysing, hand: Hand, left: Sequence[Waiting], analyzer: Analyzer
) -> AsyncGenerator[Sequence[Measured]]:
    """Each recording's results as they come."""
    asker = _Asker(plan, hand, analyzer)
    waiting, running = list(reversed(left)), set[asyncio.Task[list[Measured]]]()
    try:
        while waiting or running:
            while waiting and len(running) < SIDE_BY_SIDE:
                running.add(asyncio.create_task(asker.ask(waiting.pop())))
            done, running = await asyncio.wait(
                running, timeout=RETRY_S, return_when=asyncio.FIRST_COMPLETED
            )
            hand.check()
            for task in done:
                yield task.result()
    finally:
        for task in running:
            task.cancel()


class _Asker:
    def __init__(self, plan: Reanalysing, hand: Hand, analyzer: Analyzer) -> None:
        self._plan = plan
        self._hand = hand
        self._analyzer = analyzer

    async def ask(self, recording: Waiting) -> list[Measured]:
        """Its results, or rows that say why there are none; waits for models that are away."""
        latest = asyncio.get_running_loop().time() + PATIENCE_S
        lost = 0
        while True:
            try:
                return self._results(recording, await self._analysis(recording))
            except UnreadableAudio as error:
                return self._none(recording, f"{error.code}: {error.detail}")
            except FileNotFoundError:
                return self._none(recording, "recording_missing: The recording's sound is gone.")
            except DeadlineExceeded:
                return self._none(recording, "deadline_exceeded: The analysis took too long.")
            except Overloaded as error:
                await asyncio.sleep(error.retry_after_s)
            except ReplicaLost as error:  # perhaps this take's doing
                lost += 1
                if lost == TRIES:
                    return self._none(recording, f"replica_lost: {error}")
            except (Unavailable, StorageDown):
                if asyncio.get_running_loop().time() > latest:
                    raise
                await asyncio.sleep(RETRY_S)

    async def _analysis(self, recording: Waiting) -> Analysis:
        request = AnalysisRequest(
            families=recording.families,
            options=self._plan.options,
            lane="bulk",
            deadline_s=self._hand.settings.bulk_deadline_s,
            user=self._hand.owner_id,
            versions={family: pin.version for family, pin in self._plan.pins.items()},
        )
        return await self._analyzer.analyze(recording.key, request)

    def _results(self, recording: Waiting, analysis: Analysis) -> list[Measured]:
        """Raises Failed where another version answered than the one that was asked for."""
        for family, version in analysis.versions.items():
            pin = self._plan.pins.get(family)  # type: ignore[call-overload]
            if pin and (version.version, version.sha256) != (pin.version, pin.sha256):
                raise Failed(
                    "version_changed",
                    f"{family} was answered by {version.version} ({version.sha256[:12]}) and not "
                    f"by {pin.version} ({pin.sha256[:12]}).",
                )
        return [self._row(recording, analysis, family) for family in recording.families]

    def _row(self, recording: Waiting, analysis: Analysis, family: Family) -> Measured:
        result = getattr(analysis, family)
        if result.absent and result.absent.reason == Reason.model_unavailable:
            raise Failed("model_unavailable", f"{family}: {result.absent.detail}")
        return of_result(recording.recording_id, family, result)

    def _none(self, recording: Waiting, why: str) -> list[Measured]:
        return of_failure(recording.recording_id, recording.families, why)
