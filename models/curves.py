"""Points for values: straight lines between anchors, and anchors from what ordinary takes measure.

No torch here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import fmean
from typing import Literal

GOOD = 75.0  # points: what feedback aims at, the middle of ordinary takes

# What the 1st, 10th, 50th, 90th and 99th of a hundred ordinary takes earn, the best side last...
EARNED = (15.0, 45.0, GOOD, 95.0, 99.0)
# ... and where the best value is in the middle, the take furthest out on either side first.
EARNED_OFF_MIDDLE = (35.0, GOOD, 100.0, GOOD, 35.0)

Better = Literal["high", "low", "middle"]
Percentiles = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """Points for a value: straight lines between (value, points), flat outside them."""

    anchors: tuple[tuple[float, float], ...]

    def points(self, value: float) -> float:
        if value <= self.anchors[0][0]:
            return self.anchors[0][1]
        for (left, low), (right, high) in pairwise(self.anchors):
            if value <= right:
                return low + (high - low) * (value - left) / (right - left)
        return self.anchors[-1][1]

    def error(self, value: float, standard_error: float) -> float:
        """Of the points: the most that they change within one standard error of the value."""
        low, high = value - standard_error, value + standard_error
        near = [low, high, *(at for at, _ in self.anchors if low < at < high)]
        here = self.points(value)
        return max(abs(self.points(at) - here) for at in near)

    def target(self, value: float) -> float:
        """The nearest value that earns GOOD points."""
        crossings = [
            left + (right - left) * (GOOD - low) / (high - low)
            for (left, low), (right, high) in pairwise(self.anchors)
            if low != high and min(low, high) <= GOOD <= max(low, high)
        ]
        return min(crossings, key=lambda at: abs(at - value))


def curve(*anchors: tuple[float, float]) -> Curve:
    return Curve(anchors)


def by_rank(values: Sequence[float], better: Better) -> Curve:
    """From the 1st, 10th, 50th, 90th and 99th percentile: no ordinary take earns 0 or 100.

    Both ends lie further out than the outer ranks by their last step (twice as far from the
    middle, where that is best): 0 points beyond the worst, 100 beyond the best. Ranks that share
    a value share the mean of their points.
    """
    beside = 2 if better == "middle" else 1
    steps = values[beside] - values[0], values[-1] - values[-1 - beside]
    ends = values[0] - max(steps[0], _tenth(values)), values[-1] + max(steps[1], _tenth(values))
    inner = EARNED_OFF_MIDDLE if better == "middle" else EARNED
    outer = (0.0, 0.0) if better == "middle" else (0.0, 100.0)
    points = (outer[0], *inner, outer[1])
    if better == "low":
        points = points[::-1]
    ranked = zip((ends[0], *values, ends[1]), points, strict=True)
    tied = groupby(ranked, key=lambda each: each[0])
    return Curve(tuple((at, fmean(point for _, point in group)) for at, group in tied))


def _tenth(values: Sequence[float]) -> float:
    """Of the spread: an end must lie somewhere even where a tenth of the takes are alike."""
    return (values[-1] - values[0]) / 10
