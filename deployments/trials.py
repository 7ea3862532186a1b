"""Trials: versions beside the champion, how long they may take, and how they compare with it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from app.analyzer import DeadlineExceeded
from deployments.observing import Observer, compare
from deployments.versions import VersionTable
from models.engine import NOT_FINITE, Options, fault_of
from models.graph import Answer
from models.results import Family, FamilyResult

LEAST_PATIENCE_S = 5.0
PATIENCE = 3.0  # times what the champion takes for as much sound
COMPARED_AT_ONCE = 2  # takes that are measured twice: more are let go, so that nobody waits
COMPARISON_S = 30.0
TIMEOUT = "no answer in time"

Reask = Callable[[Family, str, float], Awaitable[Answer]]  # family, version, seconds it may take


@dataclass(slots=True)
class Trials:
    """What one conductor knows of the versions on trial. No answer ever waits for it."""

    table: VersionTable
    observer: Observer = field(default_factory=Observer)
    _paces: dict[Family, float] = field(default_factory=dict)  # champion's seconds per audio second
    _comparing: set[asyncio.Task[None]] = field(default_factory=set)

    def on_trial(self, family: Family, version: str) -> bool:
        return version != self.table.route(family).champion

    def patience_s(self, families: Iterable[Family], audio_seconds: float) -> float:
        """How long a version on trial may take before the champion is asked instead."""
        pace = max((self._paces.get(family, 1.0) for family in families), default=1.0)
        return LEAST_PATIENCE_S + PATIENCE * pace * audio_seconds

    def answered(self, family: Family, version: str, seconds: float, audio_seconds: float) -> None:
        if self.table.route(family).watched:
            self.observer.of(family, version).answered(seconds)
        if not self.on_trial(family, version):
            pace = seconds / max(audio_seconds, 0.1)
            self._paces[family] = 0.9 * self._paces.get(family, pace) + 0.1 * pace

    def failed(self, family: Family, version: str, why: str) -> None:
        seen = self.observer.of(family, version)
        seen.requests += 1
        if why == TIMEOUT:
            seen.timeouts += 1
        elif why.startswith(NOT_FINITE):
            seen.not_finite += 1
        else:
            seen.errors += 1

    def compare(
        self,
        versions: Mapping[Family, str],
        results: Mapping[Family, FamilyResult],
        options: Options,
        reask: Reask,
    ) -> None:
        """Ask the other side of each trial about the same take, when somebody has the time."""
        for family, version in versions.items():
            route = self.table.route(family)
            others = [route.champion] if version != route.champion else route.shadow
            for other in others:
                if len(self._comparing) < COMPARED_AT_ONCE:
                    work = self._compare(family, version, other, dict(results), options, reask)
                    task = asyncio.get_running_loop().create_task(work)
                    self._comparing.add(task)
                    task.add_done_callback(self._comparing.discard)

    async def _compare(
        self,
        family: Family,
        version: str,
        other: str,
        results: dict[Family, FamilyResult],
        options: Options,
        reask: Reask,
    ) -> None:
        shadow = self.on_trial(family, other)
        started = time.monotonic()
        try:
            async with asyncio.timeout(COMPARISON_S):
                answer = await reask(family, other, COMPARISON_S)
        except Exception as error:  # the shadow's failure is what we want to know of
            if shadow:
                self.failed(family, other, reason_of(error))
            return
        mine, theirs = results.pop(family), answer.result
        if shadow and (fault := fault_of(theirs)) and fault_of(mine) is None:
            self.failed(family, other, fault)
            return
        trial, champion = (theirs, mine) if shadow else (mine, theirs)
        if shadow:
            self.observer.of(family, other).answered(time.monotonic() - started)
        seen = self.observer.of(family, other if shadow else version)
        await asyncio.to_thread(compare, seen, family, trial, champion, results, options)


def reason_of(error: BaseException) -> str:
    """A failure of a version on trial, in few words."""
    if isinstance(error, (TimeoutError, DeadlineExceeded)):
        return TIMEOUT
    return f"{type(error).__name__}: {error}"[:200]
