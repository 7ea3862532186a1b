"""The Conductor: one take through the graph, over the hosts that serve it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import ray
from ray import ObjectRef, serve
from sqlalchemy.ext.asyncio import async_sessionmaker

from app import database, tasks
from app.analyzer import AnalysisRequest, Unavailable
from app.errors import DatabaseDown
from app.rollouts.routing import Route
from app.settings import settings
from app.storage import open_store
from deployments import following
from deployments.calls import answer, ask, stream
from deployments.courtesy import Courtesy
from deployments.host import Ask
from deployments.trials import Trials, reason_of
from deployments.versions import VersionTable
from models import graph
from models.audio import Audio
from models.decode import DecodeLimits, Decoder
from models.engine import OFF, fault_of
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
    seconds: float  # of the take
    wanted: tuple[Family, ...]
    versions: dict[Family, str]
    hosts: dict[Family, str]  # family -> Serve application
    request: AnalysisRequest
    deadline: float  # monotonic
    on_step: OnStep | None
    done: dict[Family, Answer] = field(default_factory=dict)
    fallbacks: dict[Family, str] = field(default_factory=dict)

    @property
    def left_s(self) -> float:
        return self.deadline - time.monotonic()

    def question(self, families: tuple[Family, ...]) -> Ask:
        """What a host needs to know to answer for these families."""
        inputs = {need for f in families for need in graph.inputs_of(f, self.wanted)}
        return Ask(
            families=families,
            wanted=self.wanted,
            given={f: self.done[f].result for f in inputs - set(families)},
            options=self.request.options,
            lane=self.request.lane,
            timeout_s=max(self.left_s, 0.001),
        )


class Conductor:
    async def __init__(self, routes: Mapping[Family, Route]) -> None:  # type: ignore[misc]
        self.table = VersionTable(routes, lambda a: serve.get_deployment_handle("AnalyzerHost", a))
        self.trials = Trials(self.table)
        self._courtesy = Courtesy()
        found = settings()
        self._background = await self._beside_the_database(found.database_url)
        self._off = found.disabled_families
        self._storage = open_store(found)
        self._decoder = Decoder(DecodeLimits(max_seconds=found.max_seconds))

    async def analyze(
        self, take: bytes | str, request: AnalysisRequest, on_step: OnStep | None = None
    ) -> Analysis:
        """The Analysis of encoded bytes, or of the recording stored under a key."""
        async with self._courtesy.given(request.lane):
            return await self._analyze(take, request, on_step)

    async def _analyze(
        self, take: bytes | str, request: AnalysisRequest, on_step: OnStep | None
    ) -> Analysis:
        started = time.monotonic()
        audio = await self._decode(take)
        decoded = time.monotonic() - started
        reference = await asyncio.to_thread(ray.put, audio)
        run = self._plan(reference, audio.seconds, request, started, on_step)
        await self._conduct(run)
        self._compare(run)
        analysis = graph.assemble(audio, run.done, request.families, request.options)
        total = time.monotonic() - started
        timing = {**analysis.timing, "decode": decoded, "total": total}
        return analysis.model_copy(update={"timing": timing, "fallbacks": run.fallbacks})

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
        seconds: float,
        request: AnalysisRequest,
        started: float,
        on_step: OnStep | None,
    ) -> _Run:
        wanted = graph.closure(request.families)
        versions = {
            family: request.versions.get(family) or self.table.choose(family, request.user)
            for family in wanted
            if family in self.table
        }
        hosts = {family: self._host(family, version) for family, version in versions.items()}
        done = {
            family: Answer(absent(family, Reason.model_unavailable, self._why_not(family)), 0.0)
            for family in wanted
            if family not in hosts
        }
        deadline = started + request.deadline_s
        return _Run(audio, seconds, wanted, versions, hosts, request, deadline, on_step, done)

    def _host(self, family: Family, version: str) -> str:
        try:
            return self.table.application_of(family, version)
        except KeyError:
            raise Unavailable(f"Version {version} of {family} does not run.") from None

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
        """The host's answers. Where a version on trial fails, the champion's, and that is said."""
        trial = self._on_trial(run, families)
        alone = trial == families  # else somebody's champion is asked in the same call
        left = min(run.left_s, self.trials.patience_s(trial, run.seconds)) if alone else run.left_s
        try:
            async with asyncio.timeout(left if alone else None):
                question = run.question(families)
                answers = await ask(lambda: self._ask(run, host, question), host, left)
        except Exception as error:
            if not alone:
                raise
            return await self._fall_back(run, dict.fromkeys(trial, reason_of(error)))
        faults = {family: fault_of(answers[family].result) for family in trial}
        failed = {family: fault for family, fault in faults.items() if fault}
        for family in families:
            if family not in failed and family not in run.request.versions:
                seconds = answers[family].seconds
                self.trials.answered(family, run.versions[family], seconds, run.seconds)
        return answers | (await self._fall_back(run, failed) if failed else {})

    def _on_trial(self, run: _Run, families: tuple[Family, ...]) -> tuple[Family, ...]:
        """Of these the ones that the champion could answer instead; a pinned version is wanted."""
        return tuple(
            family
            for family in families
            if family not in run.request.versions
            and self.trials.on_trial(family, run.versions[family])
        )

    async def _fall_back(self, run: _Run, failures: Mapping[Family, str]) -> dict[Family, Answer]:
        """The same question to the champions of these families."""
        failed = {family: run.versions[family] for family in failures}
        answers = dict[Family, Answer]()
        for family, why in failures.items():
            route = self.table.route(family)
            run.versions[family], run.hosts[family] = route.champion, route.hosts[route.champion]
            answers |= await self._call(run, run.hosts[family], (family,))
            # A take that no version can measure says nothing against this one.
            if fault_of(answers[family].result) is None:
                self.trials.failed(family, failed[family], why)
                run.fallbacks[family] = f"version {failed[family]}: {why}"
        return answers

    def _compare(self, run: _Run) -> None:
        """Trials are also judged by what they say of the takes that champions answer."""
        fallen = run.fallbacks.keys() | run.request.versions.keys()
        versions = {f: v for f, v in run.versions.items() if f not in fallen}
        results = {family: answer.result for family, answer in run.done.items()}

        async def reask(family: Family, version: str, timeout_s: float) -> Answer:
            host = self._host(family, version)
            question = replace(run.question((family,)), lane="bulk", timeout_s=timeout_s)
            handle = self.table.handle_of(host)
            return (await answer(handle.analyze.remote(run.audio, question)))[family]  # type: ignore[no-any-return]

        self.trials.compare(versions, results, run.request.options, reask)

    async def _beside_the_database(self, url: str | None) -> tuple[asyncio.Task[None], ...]:
        """Follows the rollouts and writes down what is seen of them, where there is a database."""
        if url is None:
            return ()
        sessions = async_sessionmaker(database.engine(url, pool_size=2), expire_on_commit=False)
        with suppress(DatabaseDown):  # then the profile's own routes, until it is back
            self.table.update(await following.routes(sessions))
        works = (
            following.follow(self.table, sessions),
            self.trials.observer.write_forever(sessions),
        )
        return tuple(asyncio.create_task(work) for work in works)

    async def __del__(self) -> None:
        await tasks.end(*self._background)

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
