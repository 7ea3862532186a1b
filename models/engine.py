"""What an engine is and what it is asked: a take, what is known of it, options. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from models.audio import Audio
from models.results import Family, FamilyResult, Reason, Version, absent


class Options(BaseModel):
    """What the asker may choose. Every field changes results, so all are part of a cache key."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    a4_hz: float = Field(default=440.0, ge=415, le=466)
    voice: Literal["auto", "male", "female", "child"] = "auto"
    language: str | None = Field(default=None, max_length=16, description="None: detected.")
    prompt: str | None = Field(default=None, max_length=2000)
    temperature: float | None = Field(
        default=None, ge=0, le=1, description="None: whisper's fallback ladder."
    )


@dataclass(frozen=True, slots=True)
class Task:
    """One take as an engine gets it: audio at 16 kHz, and the results it needs."""

    audio: Audio
    needs: Mapping[Family, FamilyResult] = field(default_factory=dict)
    options: Options = field(default_factory=Options)


class Engine(Protocol):
    """The plain class that answers for one family. Knows nothing of Ray."""

    family: Family
    version: Version

    def analyze_batch(self, tasks: Sequence[Task]) -> list[FamilyResult]:
        """One result a task, in order. Batch-mates and padding never change a result."""
        ...


NOT_FINITE = "not finite"  # how the detail of such a failure begins


class NotFinite(ArithmeticError):
    """The network answered with NaN or infinity."""


def fault_of(result: FamilyResult) -> str | None:
    """Why this answer is the engine's failure; None for any that a take may have earned."""
    if result.absent is None or result.absent.reason not in FAULTS:
        return None
    return result.absent.detail or result.absent.reason.value


FAULTS = (Reason.failed, Reason.model_unavailable)
OFF = "Turned off on this platform (VOCALITY_DISABLED_FAMILIES)."


class Unavailable:
    """Stands where an engine's weights are missing: says so for every take."""

    def __init__(self, family: Family, version: str, why: str) -> None:
        self.family: Family = family
        self.version = Version(name=family, version=version, sha256="")
        self.why = why

    def analyze_batch(self, tasks: Sequence[Task]) -> list[FamilyResult]:
        answer = absent(self.family, Reason.model_unavailable, self.why)
        return [answer] * len(tasks)
