"""How far a figure would move with other speakers: bootstrap intervals (Efron & Tibshirani)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
SHARE = 95.0  # percent


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and where 95 % of its resamplings over speakers fall."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"


def of_mean(scores: Mapping[str, float]) -> Interval:
    """The mean of one score a speaker."""
    return of_ratio({speaker: (score, 1.0) for speaker, score in scores.items()})


def of_ratio(counts: Mapping[str, tuple[float, float]]) -> Interval:
    """The sum of the first over the sum of the second, each given by speaker: a pooled share."""
    pairs = np.array(list(counts.values()), float).reshape(-1, 2)
    if not len(pairs):
        return Interval(float("nan"), float("nan"), float("nan"))
    value = _ratio(pairs.sum(0))
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(pairs), size=(DRAWS, len(pairs)))
    low, high = np.nanpercentile(_ratio(pairs[drawn].sum(1).T), [50 - SHARE / 2, 50 + SHARE / 2])
    return Interval(float(value), float(low), float(high))


def _ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(sums[0] / np.where(sums[1] == 0, np.nan, sums[1]))
