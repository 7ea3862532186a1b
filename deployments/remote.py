"""The app's Analyzer, answered by the Conductor in its own replica."""

import asyncio
from collections.abc import Mapping

import ray
from ray.serve.handle import DeploymentHandle

from app.analyzer import AnalysisRequest, OnProgress, Unavailable
from deployments.calls import answer, ask, stream
from deployments.conductor import Conductor
from models.results import Analysis, Family


class RemoteAnalyzer:
    """app.analyzer.Analyzer over a handle."""

    def __init__(self, conductor: DeploymentHandle[Conductor]) -> None:
        self._conductor = conductor

    async def analyze(
        self, take: bytes | str, request: AnalysisRequest, on_progress: OnProgress | None = None
    ) -> Analysis:
        # Bytes travel as one reference: by value they would be copied at every hop.
        sent = await asyncio.to_thread(ray.put, take) if isinstance(take, bytes) else take

        async def call() -> Analysis:
            if on_progress is None:
                whole: Analysis = await answer(self._conductor.analyze.remote(sent, request))
                return whole
            return await self._stepwise(sent, request, on_progress)

        return await ask(call, "the conductor", request.deadline_s)

    async def missing(self) -> Mapping[Family, str]:
        async def call() -> Mapping[Family, str]:
            found: Mapping[Family, str] = await answer(self._conductor.missing.remote())
            return found

        return await ask(call, "the conductor", 2.0)

    async def _stepwise(
        self, sent: object, request: AnalysisRequest, on_progress: OnProgress
    ) -> Analysis:
        streaming = self._conductor.options(stream=True)
        async for step in stream(streaming.analyze_stepwise.remote(sent, request)):
            if isinstance(step, Analysis):
                return step
            await on_progress(step, "done")
        raise Unavailable("The conductor's answer broke off.")
