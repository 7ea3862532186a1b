"""The analyzer as the app needs it: a Protocol that deployments fulfil and tests fake."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from models.audio import Source
from models.engine import Options
from models.graph import FAMILIES
from models.results import Analysis, Family

Lane = Literal["interactive", "bulk"]
OnProgress = Callable[[Family, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class AnalysisRequest:
    families: tuple[Family, ...] = FAMILIES
    options: Options = field(default_factory=Options)
    lane: Lane = "interactive"
    deadline_s: float = 300.0
    user: str = ""  # the key that keeps one person on one version during a rollout
    versions: Mapping[Family, str] = field(default_factory=dict)  # these and no others


class Overloaded(Exception):
    """No room now. The same request may succeed after `retry_after_s`."""

    def __init__(self, retry_after_s: float = 1.0) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s


class DeadlineExceeded(Exception):
    """The models did not answer in time."""


class Unavailable(Exception):
    """No model can be reached now."""


class ReplicaLost(Unavailable):
    """The model's process ended while it had this take, and so did the next one."""


class Analyzer(Protocol):
    async def analyze(
        self, take: bytes | str, request: AnalysisRequest, on_progress: OnProgress | None = None
    ) -> Analysis:
        """Measure one take: its encoded bytes, or its key in the object store.

        Raises models.audio.UnreadableAudio, FileNotFoundError (no such key), Overloaded,
        DeadlineExceeded, Unavailable and ReplicaLost as themselves. Safe to repeat.
        """
        ...

    async def missing(self) -> Mapping[Family, str]:
        """Families that cannot answer now, and why. Raises Unavailable when nothing answers."""
        ...


class Inspection(Protocol):
    """What is known of an encoded take before it is analyzed."""

    @property
    def seconds(self) -> float: ...

    @property
    def source(self) -> Source: ...


class Inspector(Protocol):
    async def inspect(self, source: Path) -> Inspection:
        """Look into an encoded take, in a limited child. Raises models.audio.UnreadableAudio."""
        ...
