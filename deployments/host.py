"""AnalyzerHost: one or more engines behind a batcher, on CPU or GPU."""

import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict
from ray import serve

from app.analyzer import Lane
from app.settings import settings
from deployments.batcher import Batcher, Limits
from deployments.faults import Fault, Faulty
from deployments.placement import Placement, deploy
from models import graph
from models.audio import Audio
from models.engine import Engine, Options, Task, Unavailable
from models.graph import Answer
from models.results import Family, FamilyResult

log = logging.getLogger(__name__)

CONFIGURED = "configured"  # the transcript's version where the settings name the checkpoint
STUCK_S = 900  # a batch that runs longer means a hung device: the replica is replaced


class HostSpec(BaseModel):
    """What one host serves, and with what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    versions: dict[Family, str]
    digests: dict[Family, str] = {}  # of the weights, where any version of that name will not do
    strict: bool = False  # a version on trial that cannot answer does not start
    fault: Fault | None = None  # of a drill
    device: str = "auto"
    threads: int = 1  # of torch inside one batch; Ray's num_cpus is admission only
    slots: int = 1  # batches at once
    batch_seconds: float = 120
    bulk_seconds: float = 120
    waiting_seconds: float = 3600
    gpu_memory_fraction: float | None = None
    placement: Placement = Placement()


@dataclass(frozen=True, slots=True)
class Ask:
    """What a host is asked about one take: its families, and results from other hosts."""

    families: tuple[Family, ...]
    wanted: tuple[Family, ...]  # of the whole run: what optional inputs to expect
    given: Mapping[Family, FamilyResult] = field(default_factory=dict)
    options: Options = field(default_factory=Options)
    lane: Lane = "interactive"
    timeout_s: float = 600


class AnalyzerHost:
    def __init__(self, spec: HostSpec) -> None:
        # torch comes with it: only the replica pays, not those who deploy or ask.
        from models import engines

        engines.limit(spec.threads, spec.gpu_memory_fraction)
        device = engines.best_device() if spec.device == "auto" else spec.device
        self._answer = engines.answer
        load = engines.load if spec.strict else engines.load_or_unavailable
        self.engines = {
            family: load(family, version, device, spec.digests.get(family))
            for family, version in spec.versions.items()
        }
        self._executor = ThreadPoolExecutor(spec.slots, thread_name_prefix="engine")
        limits = Limits(
            batch_seconds=spec.batch_seconds,
            bulk_seconds=spec.bulk_seconds,
            waiting_seconds=spec.waiting_seconds,
            slots=spec.slots,
        )
        self._batcher = Batcher(self._run_batch, limits, self._executor)
        self._busy_since: dict[int, float] = {}
        self._warm_up(engines.checked, spec.strict)
        self._break(spec.fault)

    async def analyze(self, audio: Audio, ask: Ask) -> dict[Family, Answer]:
        """Every family that was asked for, computed from each other and from `given`."""
        return {family: answer async for family, answer in self.analyze_stepwise(audio, ask)}

    async def analyze_stepwise(
        self, audio: Audio, ask: Ask
    ) -> AsyncIterator[tuple[Family, Answer]]:
        """The same, each family as it comes: for those who show progress."""
        deadline = time.monotonic() + ask.timeout_s

        async def submit(family: Family, needs: Mapping[Family, FamilyResult]) -> FamilyResult:
            task = Task(audio, needs, ask.options)
            left = deadline - time.monotonic()
            return await self._batcher.submit(family, task, ask.lane, left)

        with self._batcher.admitted(audio.seconds, ask.lane):
            async for step in graph.run(ask.families, ask.wanted, ask.given, submit):
                yield step

    def missing(self) -> dict[Family, str]:
        """Families whose weights are not here, and why."""
        return {
            family: engine.why
            for family, engine in self.engines.items()
            if isinstance(engine, Unavailable)
        }

    def stats(self) -> dict[str, float]:
        return {
            "admitted_seconds": self._batcher.admitted_seconds,
            "batches": self._batcher.batches,
        }

    def check_health(self) -> None:
        now = time.monotonic()
        if any(now - since > STUCK_S for since in self._busy_since.values()):
            raise RuntimeError(f"A batch has been running for more than {STUCK_S} s.")

    def _run_batch(self, family: Family, tasks: list[Task]) -> list[FamilyResult]:
        mark = id(tasks)
        self._busy_since[mark] = time.monotonic()
        try:
            return self._answer(self.engines[family], tasks)
        finally:
            del self._busy_since[mark]

    def _warm_up(self, checked: Callable[[Engine], Engine], strict: bool) -> None:
        """So that no request pays for it. An engine that cannot answer here answers nobody."""
        started = time.perf_counter()
        for family, engine in self.engines.items():
            ready = self.engines[family] = checked(engine)
            if strict and isinstance(ready, Unavailable):
                raise RuntimeError(f"{family} cannot answer: {ready.why}")
        log.info("warm after %.1f s: %s", time.perf_counter() - started, sorted(self.engines))

    def _break(self, fault: Fault | None) -> None:
        """As a drill asks for it."""
        if fault == "crash":
            raise RuntimeError("told to crash")
        if fault:
            self.engines = {f: Faulty(engine, fault) for f, engine in self.engines.items()}


def build(spec: HostSpec) -> serve.Application:
    """One host as a Serve application; the same class on a laptop and on a cluster."""
    return deploy(AnalyzerHost, spec.placement).bind(_configured(spec))


def _configured(spec: HostSpec) -> HostSpec:
    """The spec with whisper's checkpoint as the operator named it."""
    if spec.versions.get("transcript") != CONFIGURED:
        return spec
    named = settings().transcript_model or ""
    return spec.model_copy(update={"versions": {**spec.versions, "transcript": named}})
