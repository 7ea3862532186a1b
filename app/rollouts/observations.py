"""Observations: what conductors see of versions on trial, summed so that windows can be added."""

import math
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

STEP = 2**0.25  # between two buckets of latency: a quantile is at most 19 % too high
SHORTEST_S = 1e-3


class Spread(BaseModel):
    """Count, sum, sum of squares and largest size of some differences."""

    model_config = ConfigDict(extra="forbid")

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    largest: float = 0.0

    def add(self, value: float) -> None:
        self.merge(Spread(count=1, total=value, squares=value * value, largest=abs(value)))

    def merge(self, other: "Spread") -> None:
        self.count += other.count
        self.total += other.total
        self.squares += other.squares
        self.largest = max(self.largest, other.largest)

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    @property
    def rms(self) -> float:
        return math.sqrt(self.squares / self.count) if self.count else 0.0


class Seen(BaseModel):
    """Sums over some requests to one version."""

    model_config = ConfigDict(extra="forbid")

    requests: int = 0
    errors: int = 0  # it raised, answered `failed`, or its replica was lost
    timeouts: int = 0
    not_finite: int = 0  # answers that held NaN or infinity
    latency: dict[str, int] = {}  # bucket -> requests
    compared: int = 0  # takes on which champion and this one both answered
    unlike: int = 0  # of these: only one of the two could measure the take
    scores: dict[str, Spread] = {}  # score -> this one's less the champion's, in points
    measures: dict[str, Spread] = {}  # measure -> this one's less the champion's, in its unit

    def answered(self, seconds: float) -> None:
        self.requests += 1
        bucket = str(max(0, math.ceil(math.log(max(seconds, SHORTEST_S) / SHORTEST_S, STEP))))
        self.latency[bucket] = self.latency.get(bucket, 0) + 1

    def merge(self, other: "Seen") -> None:
        for name in ("requests", "errors", "timeouts", "not_finite", "compared", "unlike"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for bucket, count in other.latency.items():
            self.latency[bucket] = self.latency.get(bucket, 0) + count
        for mine, theirs in ((self.scores, other.scores), (self.measures, other.measures)):
            for name, spread in theirs.items():
                mine.setdefault(name, Spread()).merge(spread)

    def quantile(self, share: float) -> float | None:
        """Seconds, the upper edge of its bucket; None before anything was answered."""
        total, reached = sum(self.latency.values()), 0
        for bucket in sorted(self.latency, key=int):
            reached += self.latency[bucket]
            if reached >= share * total:
                return float(SHORTEST_S * STEP ** int(bucket))
        return None


def summed(parts: Iterable[Seen]) -> Seen:
    whole = Seen()
    for part in parts:
        whole.merge(part)
    return whole
