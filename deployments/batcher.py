"""Gathers while busy: takes wait in line while a batch runs, then leave as the next batch."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.analyzer import DeadlineExceeded, Lane, Overloaded
from models.engine import Task
from models.results import Family, FamilyResult

RunBatch = Callable[[Family, list[Task]], list[FamilyResult]]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much runs at once, and how much may wait."""

    batch_seconds: float = 120  # of padded audio in one batch
    bulk_seconds: float = 120  # the same for bulk takes: whoever comes meanwhile waits for its end
    batch_items: int = 64
    waste: float = 2.0  # padded audio over real audio that a batch may cost
    waiting_seconds: float = 3600  # of audio let in at once; more is refused
    slots: int = 1  # batches running at once
    bulk_patience_s: float = 10  # how much older a bulk take must be to go before an interactive


@dataclass(eq=False, slots=True)
class _Waiting:
    task: Task
    answer: asyncio.Future[FamilyResult]
    arrived: float  # loop time
    expires: float

    @property
    def seconds(self) -> float:
        return max(self.task.audio.seconds, 0.01)


@dataclass(slots=True)
class _Line:
    family: Family
    lane: Lane
    takes: deque[_Waiting] = field(default_factory=deque)


class Batcher:
    """First come, first served, over the families of one host.

    A batch holds takes of one family and one lane, bounded by seconds of padded audio. It is
    sealed when a slot is free, not before, so an idle host adds no delay and a busy one makes
    large batches. A cancelled or expired take leaves the line without costing a slot.
    """

    def __init__(self, run_batch: RunBatch, limits: Limits, executor: Executor) -> None:
        self._run_batch = run_batch
        self._limits = limits
        self._executor = executor
        self._lines: dict[tuple[Family, Lane], _Line] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._speed = 10.0  # seconds of audio a second of wall time, measured as we go
        self.admitted_seconds = 0.0  # of audio whose askers wait
        self._interactive = 0  # takes that are in, be it between two families
        self.batches = 0

    @contextmanager
    def admitted(self, seconds: float, lane: Lane = "interactive") -> Iterator[None]:
        """Room for one take, for all the families it is asked about; or Overloaded.

        Once in, a take is never refused: what was computed for it would be lost. One take alone
        is always let in, however long.
        """
        if self.admitted_seconds and self.admitted_seconds + seconds > self._limits.waiting_seconds:
            raise Overloaded(retry_after_s=max(1.0, self.admitted_seconds / self._speed))
        self.admitted_seconds += seconds
        self._interactive += lane == "interactive"
        try:
            yield
        finally:
            self._interactive -= lane == "interactive"
            self.admitted_seconds = max(0.0, self.admitted_seconds - seconds)
            self._start()  # bulk takes that gave way

    async def submit(
        self, family: Family, task: Task, lane: Lane = "interactive", timeout_s: float = 600
    ) -> FamilyResult:
        """The family's answer for one take, in its turn."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        item = _Waiting(task, loop.create_future(), now, now + timeout_s)
        self._lines.setdefault((family, lane), _Line(family, lane)).takes.append(item)
        # One turn of the loop later, so that takes that arrive together leave together.
        loop.call_soon(self._start)
        try:
            async with asyncio.timeout_at(item.expires):
                return await item.answer
        except TimeoutError:
            raise DeadlineExceeded(f"{family} had no answer within {timeout_s:.1f} s.") from None

    def _start(self) -> None:
        while len(self._running) < self._limits.slots and (line := self._next_line()):
            batch = list(self._gather(line))
            running = asyncio.get_running_loop().create_task(self._run(line.family, batch))
            self._running.add(running)
            running.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start()

    def _next_line(self) -> _Line | None:
        """The line whose first take has waited longest; bulk takes count as younger."""
        for line in self._lines.values():
            while line.takes and line.takes[0].answer.done():  # cancelled or expired in line
                line.takes.popleft()
        lines = [line for line in self._lines.values() if line.takes and not self._gives_way(line)]
        return min(lines, key=self._turn, default=None)

    def _gives_way(self, line: _Line) -> bool:
        """A bulk line keeps the last free slot for an interactive take's next family."""
        last = self._limits.slots - len(self._running) <= 1
        if line.lane == "interactive" or not self._interactive or not last:
            return False
        waited = asyncio.get_running_loop().time() - line.takes[0].arrived
        return waited < self._limits.bulk_patience_s

    def _turn(self, line: _Line) -> float:
        patience = self._limits.bulk_patience_s if line.lane == "bulk" else 0.0
        return line.takes[0].arrived + patience

    def _gather(self, line: _Line) -> Iterator[_Waiting]:
        limits, longest, total, count = self._limits, 0.0, 0.0, 0
        most = limits.bulk_seconds if line.lane == "bulk" else limits.batch_seconds
        while line.takes and count < limits.batch_items:
            item = line.takes[0]
            if item.answer.done():
                line.takes.popleft()
                continue
            longest, total = max(longest, item.seconds), total + item.seconds
            padded = longest * (count + 1)
            too_wide = padded > most or padded > limits.waste * total
            if count and too_wide:
                return
            count += 1
            yield line.takes.popleft()

    async def _run(self, family: Family, batch: list[_Waiting]) -> None:
        started = time.perf_counter()
        tasks = [item.task for item in batch]
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._executor, self._run_batch, family, tasks)
        except Exception as error:  # the run boundary: everybody who waits is told
            for item in batch:
                if not item.answer.done():
                    item.answer.set_exception(error)
            return
        for item, answer in zip(batch, answers, strict=True):
            if not item.answer.done():
                item.answer.set_result(answer)
        self._measure(sum(item.seconds for item in batch), time.perf_counter() - started)
        self.batches += 1

    def _measure(self, audio_seconds: float, wall_seconds: float) -> None:
        self._speed += 0.1 * (audio_seconds / max(wall_seconds, 1e-3) - self._speed)
