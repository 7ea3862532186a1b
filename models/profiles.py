"""Profiles: how a version's results are spread, in bins that can be added up and compared."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, quantiles

from pydantic import BaseModel, ConfigDict

from models.results import Emotion, FamilyResult

BINS = 10
FEWEST = 40  # values that bins can be made of
CONFIDENCE = "confidence"  # the mean of the take's measures'
OUTCOME, LABEL = "outcome", "label"  # what has no number
PRESENT = "present"


@dataclass(frozen=True, slots=True)
class Sketch:
    """What a profile sees of one result."""

    values: Mapping[str, float]
    marks: Mapping[str, str]


class Sums(BaseModel):
    """How many values fell into each bin, and their sum."""

    model_config = ConfigDict(extra="forbid")

    counts: list[int]
    total: float = 0.0

    @property
    def mean(self) -> float | None:
        return self.total / sum(self.counts) if any(self.counts) else None


class Counted(BaseModel):
    """Results, counted in the bins of a profile."""

    model_config = ConfigDict(extra="forbid")

    takes: int = 0
    measures: dict[str, Sums] = {}
    marks: dict[str, dict[str, int]] = {}

    def merge(self, other: "Counted") -> None:
        """Of what was counted in the same bins; a measure with other bins begins anew."""
        self.takes += other.takes
        for name, sums in other.measures.items():
            mine = self.measures.get(name)
            if mine is None or len(mine.counts) != len(sums.counts):
                self.measures[name] = sums.model_copy(deep=True)
                continue
            mine.counts = [a + b for a, b in zip(mine.counts, sums.counts, strict=True)]
            mine.total += sums.total
        for name, marks in other.marks.items():
            self.marks[name] = dict(Counter(self.marks.get(name, {})) + Counter(marks))


class Profile(BaseModel):
    """A version's results on its own material: bins that hold equally many, and what is in them."""

    model_config = ConfigDict(extra="forbid")

    edges: dict[str, list[float]]  # between the bins of each measure
    counted: Counted

    def count(self, sketches: Iterable[Sketch]) -> Counted:
        """Other results, in these bins."""
        found = Counted(
            measures={name: Sums(counts=[0] * (len(e) + 1)) for name, e in self.edges.items()}
        )
        for sketch in sketches:
            found.takes += 1
            for name in sketch.values.keys() & self.edges.keys():
                sums, value = found.measures[name], sketch.values[name]
                sums.counts[bisect_right(self.edges[name], value)] += 1
                sums.total += value
            for name, mark in sketch.marks.items():
                marks = found.marks.setdefault(name, {})
                marks[mark] = marks.get(mark, 0) + 1
        return found

    def shifts(self, found: Counted) -> dict[str, float]:
        """Population stability index of each measure and mark: 0 where nothing has changed.

        A measure that is missing from a take is in a bin of its own.
        """
        own = self.counted
        numbers = {
            name: _index(_with_missing(own, name), _with_missing(found, name))
            for name in self.edges
            if name in found.measures
        }
        kinds = {name: sorted({*own.marks[name], *found.marks.get(name, {})}) for name in own.marks}
        return numbers | {
            name: _index(
                [own.marks[name].get(kind, 0) for kind in every],
                [found.marks.get(name, {}).get(kind, 0) for kind in every],
            )
            for name, every in kinds.items()
        }


def sketch(result: FamilyResult) -> Sketch:
    values = {name: measure.value for name, measure in result.measures.items()}
    sure = [m.confidence for m in result.measures.values() if m.confidence is not None]
    marks = {OUTCOME: result.absent.reason.value if result.absent else PRESENT}
    if isinstance(result, Emotion) and result.label:
        marks[LABEL] = result.label
    return Sketch(values | ({CONFIDENCE: fmean(sure)} if sure else {}), marks)


def profile(results: Iterable[FamilyResult]) -> Profile:
    """Of these results; a measure that few of them have is left out."""
    sketches = [sketch(result) for result in results]
    names = {name for one in sketches for name in one.values}
    found = {name: [s.values[name] for s in sketches if name in s.values] for name in sorted(names)}
    edges = {name: _edges(values) for name, values in found.items() if len(values) >= FEWEST}
    made = Profile(edges=edges, counted=Counted())
    made.counted = made.count(sketches)
    return made


def _edges(values: Sequence[float]) -> list[float]:
    """Between deciles; fewer where many values are the same."""
    return sorted({float(f"{edge:.6g}") for edge in quantiles(values, n=BINS)})


def _with_missing(counted: Counted, name: str) -> list[int]:
    counts = counted.measures[name].counts
    return [*counts, counted.takes - sum(counts)]


def _index(expected: Sequence[int], found: Sequence[int]) -> float:
    """Sum of (q - p) ln(q / p) over the bins, half a take added to each so that none is empty."""
    p, q = _shares(expected), _shares(found)
    return sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))


def _shares(counts: Sequence[int]) -> list[float]:
    whole = sum(counts) + 0.5 * len(counts)
    return [(count + 0.5) / whole for count in counts]
