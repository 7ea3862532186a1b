"""Which family needs which, as data, and what an engine is. Both runners share it. No torch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from models.audio import Audio
from models.results import Family, FamilyResult, Version


class Options(BaseModel):
    """What the asker may choose. Every field changes results, so all are part of a cache key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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


@dataclass(frozen=True, slots=True)
class Node:
    needs: tuple[Family, ...] = ()  # computed for it, asked for or not
    uses: tuple[Family, ...] = ()  # taken into account when the take has them anyway


GRAPH: Mapping[Family, Node] = {
    "activity": Node(),
    "pitch": Node(),
    "emotion": Node(),
    "transcript": Node(),
    "timbre": Node(needs=("pitch",)),
    "clarity": Node(needs=("activity", "pitch", "timbre"), uses=("transcript",)),
    "prosody": Node(needs=("activity", "pitch")),
    "fluency": Node(needs=("activity", "pitch"), uses=("transcript",)),
}
FAMILIES: tuple[Family, ...] = tuple(GRAPH)


def closure(families: Iterable[Family]) -> tuple[Family, ...]:
    """The families and all they need, in an order that can be computed."""
    wanted: set[Family] = set()
    stack = list(families)
    while stack:
        family = stack.pop()
        if family not in wanted:
            wanted.add(family)
            stack.extend(GRAPH[family].needs)
    return tuple(family for family in GRAPH if family in wanted)


def inputs_of(family: Family, wanted: Iterable[Family]) -> tuple[Family, ...]:
    """What the family waits for in a run of `wanted`."""
    node, present = GRAPH[family], set(wanted)
    return (*node.needs, *(used for used in node.uses if used in present))
