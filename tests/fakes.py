"""Fakes of our own Protocols, passed in where the real thing needs models or a cluster."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from app.analyzer import AnalysisRequest, OnProgress, Unavailable
from app.security import Role, User
from models import results
from models.graph import FAMILIES, closure
from models.results import Analysis, AudioReport, Family, FamilyResult, Reason

Step = Callable[[], Awaitable[None]]


def analysis(duration_s: float = 1.0, text: str = "") -> Analysis:
    """An analysis in which nothing was asked for, so everything is absent."""
    families: dict[Family, FamilyResult] = {
        name: results.absent(name, Reason.not_requested) for name in FAMILIES
    }
    audio = AudioReport(
        duration_s=duration_s,
        sample_rate_hz=16_000,
        source_sample_rate_hz=16_000,
        source_channels=1,
    )
    families["transcript"] = results.Transcript(text=text)
    return Analysis.model_validate({"audio": audio, **families, "timing": {"pitch": 0.01}})


@dataclass
class FakeAnalyzer:
    """Answers at once, and remembers what it was asked. `before` may wait or raise.

    `unavailable` None: nothing answers at all.
    """

    before: Step | None = None
    unavailable: Mapping[Family, str] | None = field(default_factory=dict)
    answer: Analysis = field(default_factory=analysis)
    takes: Counter[str | bytes] = field(default_factory=Counter)
    requests: list[AnalysisRequest] = field(default_factory=list)

    async def analyze(
        self, take: bytes | str, request: AnalysisRequest, on_progress: OnProgress | None = None
    ) -> Analysis:
        self.takes[take] += 1
        self.requests.append(request)
        if self.before is not None:
            await self.before()
        if on_progress is not None:
            for family in closure(request.families):
                await on_progress(family, "done")
        return self.answer

    async def missing(self) -> Mapping[Family, str]:
        if self.unavailable is None:
            raise Unavailable("gone")
        return self.unavailable


def raising(error: Exception) -> Step:
    async def step() -> None:
        raise error

    return step


def waiting(seconds: float) -> Step:
    async def step() -> None:
        await asyncio.sleep(seconds)

    return step


async def named_by_header(connection: HTTPConnection) -> User:
    """An identity that believes what it is told."""
    roles = connection.headers.get("x-roles", "singer").split()
    return User(connection.headers.get("x-user", "usr_nobody"), frozenset(map(Role, roles)))
