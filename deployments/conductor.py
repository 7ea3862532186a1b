"""The Conductor: one take through the graph, over the hosts that serve it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import ray
from ray import ObjectRef, serve

from app.analyzer import AnalysisRequest
from app.settings import settings
from app.storage import open_store
from deployments.calls import answer, ask, stream
from deployments.host import Ask
from deployments.versions import Route, VersionTable
from models import graph
from models.audio import Audio
from models.decode import DecodeLimits, Decoder
from models.engine import OFF
from models.graph import Answer
from models.results import Analysis, Family, Reason, absent

NO_CHECKPOINT = (
    "No whisper checkpoint is set up: `vocality models fetch base`, then set "
    "VOCALITY_TRANSCRIPT_MODEL=base."
)

OnStep = Callable[[Family], None]


@dataclass(slots=True)
class _Run:
    """One analysis on its way."""

    audio: "ObjectRef[Audio]"
    wanted: tuple[Family, ...]
    hosts: Mapping[Family, str]  # family -> Serve application
    request: AnalysisRequest
    deadline: float  # monotonic
    on_step: OnStep | None
    done: dict[Family, Answer] = field(default_factory=dict)

    def question(self, families: tuple[Family, ...]) -> Ask:
        """What a host needs to know to answer for these families."""
        inputs = {need for f in families for need in graph.inputs_of(f, self.wanted)}
        return Ask(
            families=families,
            wanted=self.wanted,
            given={f: self.done[f].result for f in inputs - set(families)},
            options=self.request.options,
            lane=self.request.lane,
            timeout_s=max(self.deadline - time.monotonic(), 0.001),
        )


class Conductor:
    def __init__(self, routes: Mapping[Family, Route]) -> None:
        self.table = VersionTable(routes, lambda a: serve.get_deployment_handle("AnalyzerHost", a))
        found = settings()
        self._off = found.disabled_families
        self._storage = open_store(found)
        self._decoder = Decoder(DecodeLimits(max_seconds=found.max_seconds))

    async def analyze(
        self, take: bytes | str, request: AnalysisRequest, on_step: OnStep | None = None
    ) -> Analysis:
        """The Analysis of encoded bytes, or of the recording stored under a key."""
        started = time.monotonic()
        audio = await self._decode(take)
        decoded = time.monotonic() - started
        run = self._plan(await asyncio.to_thread(ray.put, audio), request, started, on_step)
        await self._conduct(run)
        analysis = graph.assemble(audio, run.done, request.families, request.options)
        total = time.monotonic() - started
        timing = {**analysis.timing, "decode": decoded, "total": total}
        return analysis.model_copy(update={"timing": timing})

    async def missing(self) -> dict[Family, str]:
        """Families that should answer and cannot, and why. Whisper's host is let sleep."""
        unserved = {f for f in graph.FAMILIES if f not in self.table} - self._off
        found = {family: self._why_not(family) for family in unserved}
        served = {f for f in graph.FAMILIES if f in self.table and f != "transcript"}
        hosts = {self.table.application_of(f, self.table.choose(f, "")) for f in served}
        for reported in await asyncio.gather(*(self._missing_at(host) for host in sorted(hosts))):
            found |= reported
        return found

    def _why_not(self, family: Family) -> str:
        if family in self._off:
            return OFF
        return NO_CHECKPOINT if family == "transcript" else ""

    async def _missing_at(self, host: str) -> dict[Family, str]:
        reported: dict[Family, str] = await answer(self.table.handle_of(host).missing.remote())
        return reported

    async def analyze_stepwise(
        self, take: bytes | str, request: AnalysisRequest
    ) -> AsyncIterator[Family | Analysis]:
        """The same; each family is named as it comes, the Analysis is last."""
        steps: asyncio.Queue[Family | None] = asyncio.Queue()
        work = asyncio.create_task(self.analyze(take, request, steps.put_nowait))
        work.add_done_callback(lambda _: steps.put_nowait(None))
        try:
            while (family := await steps.get()) is not None:
                yield family
            yield await work
        finally:
            work.cancel()

    async def _decode(self, take: bytes | str) -> Audio:
        if isinstance(take, bytes):
            return await self._decoder.decode(take)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "take"
            await self._storage.download(take, path)
            return await self._decoder.decode(path)

    def _plan(
        self,
        audio: "ObjectRef[Audio]",
        request: AnalysisRequest,
        started: float,
        on_step: OnStep | None,
    ) -> _Run:
        wanted = graph.closure(request.families)
        hosts = {
            family: self.table.application_of(family, self.table.choose(family, request.user))
            for family in wanted
            if family in self.table
        }
        done = {
            family: Answer(absent(family, Reason.model_unavailable, self._why_not(family)), 0.0)
            for family in wanted
            if family not in hosts
        }
        return _Run(audio, wanted, hosts, request, started + request.deadline_s, on_step, done)

    async def _conduct(self, run: _Run) -> None:
        """Ask each host for all it can compute by now: one call holds a whole part of the graph."""
        waiting = set(run.wanted) - run.done.keys()
        calls = set[asyncio.Task[dict[Family, Answer]]]()
        try:
            while waiting or calls:
                for host, families in _ready(run, waiting):
                    waiting.difference_update(families)
                    calls.add(asyncio.create_task(self._call(run, host, families)))
                done, calls = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
                for call in done:
                    run.done |= call.result()
        finally:
            for call in calls:
                call.cancel()

    async def _call(
        self, run: _Run, host: str, families: tuple[Family, ...]
    ) -> dict[Family, Answer]:
        left = run.deadline - time.monotonic()
        return await ask(lambda: self._ask(run, host, run.question(families)), host, left)

    async def _ask(self, run: _Run, host: str, question: Ask) -> dict[Family, Answer]:
        handle = self.table.handle_of(host)
        if run.on_step is None:
            whole: dict[Family, Answer]
            whole = await answer(handle.analyze.remote(run.audio, question))
            return whole
        answers = dict[Family, Answer]()
        streaming = handle.options(stream=True)
        async for family, found in stream(streaming.analyze_stepwise.remote(run.audio, question)):
            answers[family] = found
            run.on_step(family)
        return answers


def _ready(run: _Run, waiting: set[Family]) -> list[tuple[str, tuple[Family, ...]]]:
    """Each host with the families it can compute now, from what is done and from each other."""
    groups = dict[str, list[Family]]()
    for family in waiting:
        groups.setdefault(run.hosts[family], []).append(family)
    parts = ((host, graph.reachable(fs, run.done, run.wanted)) for host, fs in groups.items())
    return [(host, families) for host, families in parts if families]
